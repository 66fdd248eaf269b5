"""Scores of held-out ID images, computed once and kept beside the checkpoint that gave them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lightning_gans import __version__
from lightning_gans.errors import InputError, UserError

SUFFIX = ".ood.safetensors"
# images that are enough: the rate of false alarms is off by 0.2 % at 5 %
MOST = 10_000


class UnreadableCalibration(UserError, ValueError):
    """A file that is no calibration, or is not whole."""


@dataclass(frozen=True)
class Origin:
    """What held-out scores depend on: if any of it is another, they are computed anew.

    Attributes:
        checkpoint: SHA-256 of the file.
        data: which images, as JSON of a class path and its arguments.
        most: how many images at most.
        version: of this package, for another may score otherwise.
    """

    checkpoint: str
    data: str
    most: int
    version: str = __version__


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out ID images, against which those of others are ranked.

    The validation images of a training may have been used to choose among its checkpoints. Those
    of a ``best`` checkpoint look a little less strange to it than new images do; the images of a
    folder that the training never saw do not have this flaw.

    Attributes:
        scores: by name, each (n,) of the same images in the same order.
        origin: what they were computed from.
        thresholds: of ReAct by percentile, for classifiers; none if no score needed them.
    """

    scores: Mapping[str, Tensor]
    origin: Origin
    thresholds: Mapping[float, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return min((len(values) for values in self.scores.values()), default=0)

    @property
    def data(self) -> str:
        """The name of the class of the data."""
        return str(json.loads(self.origin.data)["class_path"]).rpartition(".")[2]

    def save(self, path: Path) -> None:
        """Write a safetensors file; it appears under its name only when it is whole.

        Raises:
            OSError: if it cannot be written; then nothing is left behind.
        """
        content = save(
            {name: values.contiguous().cpu() for name, values in self.scores.items()},
            metadata={
                "origin": json.dumps(vars(self.origin)),
                "thresholds": json.dumps(list(self.thresholds.items())),
            },
        )
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            # never through a link that lies there
            if partial.is_symlink():
                partial.unlink()
            partial.write_bytes(content)
            partial.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    @staticmethod
    def load(path: Path) -> Calibration:
        """Read what :meth:`save` wrote, on the processor.

        Raises:
            FileNotFoundError: if there is no such file.
            UnreadableCalibration: if it is damaged or holds something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                scores = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            origin = Origin(**json.loads(metadata["origin"]))
            check_origin(origin)
            thresholds = {float(p): float(t) for p, t in json.loads(metadata["thresholds"])}
        except FileNotFoundError:
            raise
        # OverflowError: of infinite numbers; RecursionError: of deep nesting
        except (
            SafetensorError,
            OSError,
            LookupError,
            ValueError,
            TypeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise UnreadableCalibration(
                f"{path} holds no calibration, or is not whole: {' '.join(str(error).split())}"
            ) from None
        if (
            len({values.shape for values in scores.values()}) != 1
            or any(values.ndim != 1 or not values.is_floating_point() for values in scores.values())
            or any(bool(values.isnan().any()) for values in scores.values())
        ):
            raise UnreadableCalibration(f"{path} holds no scores of the same images")
        return Calibration(scores, origin, thresholds)


def check_origin(origin: Origin) -> None:
    """Raise a TypeError or ValueError unless what was read says what scores are of."""
    kinds = {name: type(value) for name, value in vars(origin).items()}
    if kinds != {"checkpoint": str, "data": str, "most": int, "version": str}:
        raise TypeError("expected texts and a number as its origin")
    data = json.loads(origin.data)
    if not isinstance(data, dict) or not isinstance(data.get("class_path"), str):
        raise TypeError("expected the class of its data")
    if not isinstance(data.get("init_args") or {}, dict):
        raise TypeError("expected the arguments of its data by name")


def calibration_file(checkpoint: Path) -> Path:
    """Where the calibration of a checkpoint is kept: beside it, under its name."""
    return checkpoint.with_name(checkpoint.name.removesuffix(".ckpt") + SUFFIX)


def checksum(file: Path) -> str:
    """SHA-256 of a file's content."""
    state = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            state.update(part)
    return state.hexdigest()


def outdated(stored: Calibration, wanted: Origin, names: Collection[str]) -> str | None:
    """In words what a stored calibration does not fit in; None if it fits."""
    if stored.origin.checkpoint != wanted.checkpoint:
        return "the checkpoint changed"
    if stored.origin.version != wanted.version:
        return f"version {stored.origin.version} of lightning_gans computed it"
    if stored.origin.data != wanted.data:
        return "it is of other held-out images"
    if stored.origin.most != wanted.most:
        return f"it is of at most {stored.origin.most:,} images"
    absent = [name for name in names if name not in stored.scores]
    return f"it lacks the score {absent[0]}" if absent else None


def calibrated(
    checkpoint: Path,
    data: str | None,
    most: int | None,
    names: Collection[str],
    compute: Callable[[Origin], Calibration],
    say: Callable[[str], None],
) -> Calibration:
    """The calibration of a checkpoint: the stored one if it fits, else a new one, which is stored.

    Args:
        checkpoint: the file.
        data: which images are held out, as :class:`Origin` has it; None if nobody knows, then
            those of the stored one.
        most: how many images at most; without, as many as the stored one if nobody knows which,
            else :data:`MOST`.
        names: the scores that are needed.
        compute: makes a calibration; called only if there is none that fits.
        say: is told, in one line each, why a new one is made, and if it cannot be stored.

    Raises:
        InputError: if nobody knows which images are held out, and no stored one fits.
    """
    path = calibration_file(checkpoint)
    stored, reason = None, "there is none yet"
    try:
        stored = Calibration.load(path)
    except FileNotFoundError:
        pass
    except UnreadableCalibration as error:
        reason = str(error)
    known = data
    if stored is not None and data is None:
        known, most = stored.origin.data, most or stored.origin.most
    origin = Origin(checksum(checkpoint), known or "", most or MOST)
    if stored is not None:
        why = outdated(stored, origin, names)
        if why is None:
            return stored
        reason = why
    if data is None:
        raise InputError(
            f"which images are held out is not known, for beside {checkpoint} there is no run's "
            f"config.yaml, and of {path.name}: {reason}; give data=NAME data.root=FOLDER"
        )
    say(f"computing {path.name}: {reason}")
    made = compute(origin)
    try:
        made.save(path)
    except OSError as error:
        why = error.strerror or str(error)
        say(f"{path} cannot be written ({why}); the calibration serves this call only")
    return made
