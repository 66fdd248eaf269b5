"""Scores of held-out ID images, computed once and stored next to the checkpoint."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lightning_gans import __version__
from lightning_gans.errors import InputError, UserError, reason
from lightning_gans.runs.folder import calibration_file
from lightning_gans.runs.tensor_files import DamagedFile, read_tensors, write_tensors

# enough images: a false-alarm rate of 5 % is off by 0.2 %
MOST = 10_000
# scores that no image has below 0
NOT_NEGATIVE = {"typicality", "reconstruction", "feature_error", "softmax"}


class UnreadableCalibration(UserError, ValueError):
    """A file that holds no calibration, or is truncated."""


@dataclass(frozen=True)
class Origin:
    """What held-out scores depend on: if any of it changes, they are computed again.

    Attributes:
        checkpoint: SHA-256 of the file.
        data: which images, by :meth:`lightning_gans.data.DataModule.describe`.
        most: how many images, at most.
        version: of this package; another version may score differently.
    """

    checkpoint: str
    data: str
    most: int
    version: str = __version__


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out ID images, among which the scores of other images are ranked.

    A ``best`` checkpoint was selected on the run's validation images, which it therefore scores a
    little lower than new images. Images that training never used do not have this bias.

    Attributes:
        scores: by name, each (n,), of the same images in the same order.
        origin: what they were computed from.
        thresholds: of ReAct by percentile, for classifiers; empty if no score needs them.
    """

    scores: Mapping[str, Tensor]
    origin: Origin
    thresholds: Mapping[float, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return min((len(values) for values in self.scores.values()), default=0)

    @property
    def data(self) -> str:
        """What the data are called: by their class, images of one's own also by their folder."""
        described = json.loads(self.origin.data)
        name = str(described["class_path"]).rpartition(".")[2]
        root = described.get("init_args", {}).get("root")
        folder = Path(str(root)).resolve().name if name == "Folder" and root is not None else ""
        return f"{name} ({folder})" if folder else name

    def save(self, path: Path) -> None:
        """Write a safetensors file with a checksum, as a whole or not at all.

        Raises:
            Unwritable: if the operating system does not let it be written.
        """
        write_tensors(
            path,
            self.scores,
            {
                "origin": json.dumps(vars(self.origin)),
                "thresholds": json.dumps(list(self.thresholds.items())),
            },
        )

    @staticmethod
    def load(path: Path) -> Calibration:
        """Read what :meth:`save` wrote, on the CPU.

        Raises:
            FileNotFoundError: if there is no such file.
            UnreadableCalibration: if it is damaged or holds something else.
        """
        try:
            scores, notes = read_tensors(path)
            origin = Origin(**json.loads(notes["origin"]))
            check_origin(origin)
            thresholds = {float(p): float(t) for p, t in json.loads(notes["thresholds"])}
            if not all(0 <= p <= 1 and math.isfinite(t) for p, t in thresholds.items()):
                raise ValueError("expected thresholds that are finite, of shares from 0 to 1")
        except FileNotFoundError:
            raise
        except DamagedFile as error:
            raise UnreadableCalibration(f"{error}; it holds no usable calibration") from None
        # OverflowError: of infinite numbers; RecursionError: of deep nesting
        except (LookupError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise UnreadableCalibration(f"{path} holds no calibration: {reason(error)}") from None
        check_scores(scores, path)
        return Calibration(scores, origin, thresholds)


def check_scores(scores: Mapping[str, Tensor], path: Path) -> None:
    """Raise an UnreadableCalibration unless scores are finite numbers of the same images."""
    if (
        len({values.shape for values in scores.values()}) != 1
        or any(values.ndim != 1 or not values.is_floating_point() for values in scores.values())
        or not all(values.numel() and bool(values.isfinite().all()) for values in scores.values())
    ):
        raise UnreadableCalibration(f"{path} holds no finite scores of the same images")
    for name in NOT_NEGATIVE & scores.keys():
        if bool((scores[name] < 0).any()):
            raise UnreadableCalibration(f"{path} holds a score {name} below 0")


def check_origin(origin: Origin) -> None:
    """Raise a TypeError or ValueError unless all fields of what was read are of their types."""
    kinds = {name: type(value) for name, value in vars(origin).items()}
    if kinds != {"checkpoint": str, "data": str, "most": int, "version": str}:
        raise TypeError("expected three texts and a number as the origin")
    data = json.loads(origin.data)
    if not isinstance(data, dict) or not isinstance(data.get("class_path"), str):
        raise TypeError("expected the class of the data")
    if not isinstance(data.get("init_args") or {}, dict):
        raise TypeError("expected the arguments of the data by name")
    if not isinstance(data.get("padding", 0), int):
        raise TypeError("expected a whole number as the padding of the data")


def checksum(file: Path) -> str:
    """SHA-256 of a file's content."""
    state = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            state.update(part)
    return state.hexdigest()


def outdated(stored: Calibration, wanted: Origin, names: Collection[str]) -> str | None:
    """Why a stored calibration cannot be used; None if it can."""
    if stored.origin.checkpoint != wanted.checkpoint:
        return "the checkpoint changed"
    if stored.origin.version != wanted.version:
        return f"version {stored.origin.version} of lightning_gans computed it"
    if stored.origin.data != wanted.data:
        return "it has other held-out images"
    if stored.origin.most != wanted.most:
        return f"it has at most {stored.origin.most:,} images"
    absent = [name for name in names if name not in stored.scores]
    return f"it lacks the score {absent[0]}" if absent else None


def calibrated(
    checkpoint: Path,
    data: str | None,
    most: int | None,
    names: Collection[str],
    compute: Callable[[Origin], Calibration],
    log: Callable[[str], None],
) -> Calibration:
    """The calibration of a checkpoint: the stored one if it is valid, else a new one.

    A new one is stored, unless the checkpoint is gone by then.

    Args:
        checkpoint: the file.
        data: which images are held out, as in :class:`Origin`; None if unknown, for those of the
            stored one.
        most: how many images, at most; None for :data:`MOST`, or for as many as the stored one
            has if ``data`` is None.
        names: the scores that are needed.
        compute: computes a calibration; called only if no stored one is valid.
        log: gets one line on why a new one is computed, and one if it cannot be stored.

    Raises:
        InputError: if ``data`` is None, and no stored one is valid.
    """
    path = calibration_file(checkpoint)
    stored, why_new = None, "it does not exist yet"
    try:
        stored = Calibration.load(path)
    except FileNotFoundError:
        pass
    except UnreadableCalibration as error:
        why_new = str(error)
    known = data
    if stored is not None and data is None:
        known, most = stored.origin.data, most or stored.origin.most
    origin = Origin(checksum(checkpoint), known or "", most or MOST)
    if stored is not None:
        why = outdated(stored, origin, names)
        if why is None:
            return stored
        why_new = why
    if data is None:
        raise InputError(
            f"which images are held out is unknown: there is no config.yaml of the run of "
            f"{checkpoint}, and {path.name} cannot be used: {why_new}; give data=NAME "
            "data.root=FOLDER"
        )
    log(f"computing {path.name}: {why_new}")
    made = compute(origin)
    if not checkpoint.exists():  # its run, which still trains, has replaced it meanwhile
        return made
    try:
        made.save(path)
    except OSError as error:
        log(f"{error}; the calibration is used for this call only")
    return made
