"""What the measures need of real data, kept in files, so that it is computed once for all runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import safetensors
import safetensors.torch
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset
from torchmetrics import Metric

from lightning_gans.metrics.distributed_rows import Team
from lightning_gans.metrics.features import FeatureExtractor
from lightning_gans.metrics.fingerprint import fingerprint, hash_tensor

# counts up whenever the same data would give other features or other files
_FORM = 1


class RealSided(Protocol):
    """A measure whose real side can be taken out and put in as one tensor.

    Attributes:
        statistic: "features", (N, F), or "moments", (F + 1, F + 1).
    """

    statistic: str

    def real_statistic(self) -> Tensor:
        """The tensor for the real samples of all processes, which all of them call together."""

    def load_real(self, statistic: Tensor) -> None:
        """Take the tensor for the whole real sample; one process alone is to be given it."""


class RealStatistics:
    """Files with the real side of measures, one for each kind of statistic.

    A file belongs to a data set (its :func:`fingerprint`), an extractor with its weights, the
    number of real samples and the kind of statistic; where any of them is another, so is the file.
    Features are stored in float32, moments in float64. The first process alone reads and writes,
    and tells the others; every method is called by all processes.

    Args:
        dataset: the real images, as they are read for the evaluation.
        extractor: what sees them, prepared.
        count: how many of them are measured, in all processes together.
        folder: where the files are; None is ``lightning_gans`` in ``$XDG_CACHE_HOME``, by default
            in ``~/.cache``. Nothing is ever deleted there.

    Raises:
        InputError: if examples change from one reading to the next.
        RuntimeError: if the extractor is not prepared.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        extractor: FeatureExtractor,
        count: int,
        folder: str | Path | None = None,
    ) -> None:
        self.count = count
        self.folder = default_folder() if folder is None else Path(folder).expanduser()
        self._name = extractor.name
        identity = f"{_FORM} {fingerprint(dataset)} {extractor.identity()} {count}"
        self._identity = hashlib.sha256(identity.encode()).hexdigest()

    def path(self, statistic: str) -> Path:
        """The file of a kind of statistic, whether it is there or not."""
        return self.folder / f"real-{self._name}-{statistic}-{self._identity[:32]}.safetensors"

    def load(self, *measures: RealSided) -> bool:
        """Fill the real side of measures that have none yet, all of them or none.

        Returns:
            Whether they are filled, so that real images need not be looked at; the same in all
            processes. A file that cannot be used is as good as none, and a warning names it.
        """
        team = Team.of_all()
        found: dict[str, Tensor] = {}
        if team.rank == 0:
            for statistic in _kinds(measures):
                tensor = self._read(statistic)
                if tensor is None:
                    break
                found[statistic] = tensor
        device = _device(measures)
        missing = team.rank == 0 and len(found) < len(_kinds(measures))
        if team.sum(torch.tensor([int(missing)], device=device)).item():
            return False
        if team.rank == 0:
            for measure in measures:
                measure.load_real(found[measure.statistic])
        return True

    def save(self, *measures: RealSided) -> None:
        """Keep the real side of measures; what cannot be kept costs a warning, and no more."""
        for statistic in _kinds(measures):
            measure = next(each for each in measures if each.statistic == statistic)
            tensor = measure.real_statistic()
            if Team.of_all().rank > 0:
                continue
            tensor = tensor.detach().cpu().contiguous()
            tensor = tensor.float() if statistic == "features" else tensor
            if (seen := _count(statistic, tensor)) != self.count:
                rank_zero_warn(
                    f"the {statistic} of real data are not kept: expected {self.count} samples,"
                    f" got {seen}"
                )
                continue
            try:
                self._write(statistic, tensor)
            except (OSError, SafetensorError) as error:
                rank_zero_warn(
                    f"the {statistic} of real data cannot be kept in {self.folder}"
                    f" ({_line(error)}); they will be computed again"
                )

    def _read(self, statistic: str) -> Tensor | None:
        path = self.path(statistic)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != self._identity or statistic not in file.keys():  # noqa: SIM118
                    raise ValueError("it is of something else")
                tensor: Tensor = file.get_tensor(statistic)
            if metadata.get("sha256") != _sha256(tensor):
                raise ValueError("its content has changed")
            if _count(statistic, tensor) != self.count:
                raise ValueError("it has another number of samples")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            rank_zero_warn(f"{path} is not used ({_line(error)}); it is computed again")
            return None
        return tensor

    def _write(self, statistic: str, tensor: Tensor) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self.folder, suffix=".draft")
        os.close(handle)
        metadata = {"identity": self._identity, "sha256": _sha256(tensor)}
        try:
            safetensors.torch.save_file({statistic: tensor}, draft, metadata)
            # in one step, so that no other process reads half of it
            Path(draft).replace(self.path(statistic))
        finally:
            with contextlib.suppress(OSError):
                Path(draft).unlink(missing_ok=True)


def default_folder() -> Path:
    """Where files are kept that can be made again: ``$XDG_CACHE_HOME/lightning_gans``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "lightning_gans").expanduser()


def _kinds(measures: Iterable[RealSided]) -> list[str]:
    return sorted({measure.statistic for measure in measures})


def _count(statistic: str, tensor: Tensor) -> int:
    return int(tensor[0, 0].item()) if statistic == "moments" else len(tensor)


def _sha256(tensor: Tensor) -> str:
    found = hashlib.sha256()
    hash_tensor(tensor, found)
    return found.hexdigest()


def _device(measures: Iterable[RealSided]) -> torch.device:
    """Where the processes can talk: torchmetrics' metrics know."""
    devices = [each.device for each in measures if isinstance(each, Metric)]
    return devices[0] if devices else torch.device("cpu")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
