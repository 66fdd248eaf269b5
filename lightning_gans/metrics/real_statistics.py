"""Statistics of real images in files, so that they are computed once for all runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.files import check_regular
from lightning_gans.metrics.features import FeatureExtractor
from lightning_gans.metrics.fingerprint import fingerprint, hash_tensor
from lightning_gans.metrics.two_sample import TwoSampleMetric
from lightning_gans.metrics.work_sharing import Team
from lightning_gans.paths import typed_path

# to be increased whenever the same data give other features or other files
_FORMAT = 1


class RealStatistics:
    """Files with the statistics that metrics store of real images, one for each kind.

    A data set (its :func:`fingerprint`), an extractor with its weights, a number of real images and
    a kind of statistic have one file. Features are stored in float32, moments in float64. Only the
    first process reads and writes; all processes call every method.

    Args:
        dataset: the real images, as the evaluation reads them.
        extractor: of their features, prepared.
        count: how many images are measured, in all processes.
        folder: of the files; None is ``lightning_gans`` in ``$XDG_CACHE_HOME``, which is
            ``~/.cache`` by default. Nothing in it is ever deleted.

    Raises:
        InputError: if an example differs when it is read again.
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
        self.folder = default_folder() if folder is None else typed_path(folder)
        self._name = extractor.name
        identity = f"{_FORMAT} {fingerprint(dataset)} {extractor.identity()} {count}"
        self._identity = hashlib.sha256(identity.encode()).hexdigest()

    def path(self, statistic: str) -> Path:
        """The file of a kind of statistic, whether it exists or not."""
        return self.folder / f"real-{self._name}-{statistic}-{self._identity[:32]}.safetensors"

    def load(self, *metrics: TwoSampleMetric) -> bool:
        """Fill the real samples of metrics that have none yet: all of them, or none.

        Returns:
            Whether they were filled, so that no real images are needed; the same in all processes.
            A file that cannot be used counts as missing, and a warning names it.
        """
        team = Team.of_all()
        found: dict[str, Tensor] = {}
        if team.rank == 0:
            for statistic in _kinds(metrics):
                tensor = self._read(statistic)
                if tensor is None:
                    break
                found[statistic] = tensor
        device = metrics[0].device
        missing = team.rank == 0 and len(found) < len(_kinds(metrics))
        if team.sum(torch.tensor([int(missing)], device=device)).item():
            return False
        if team.rank == 0:
            for metric in metrics:
                metric.load_real(found[metric.statistic])
        return True

    def save(self, *metrics: TwoSampleMetric) -> None:
        """Store the real samples of metrics; a file that cannot be written is only a warning."""
        for statistic in _kinds(metrics):
            metric = next(each for each in metrics if each.statistic == statistic)
            tensor = metric.real_statistic()
            if Team.of_all().rank > 0:
                continue
            tensor = tensor.detach().cpu().contiguous()
            tensor = tensor.float() if statistic == "features" else tensor
            if (seen := _count(statistic, tensor)) != self.count:
                rank_zero_warn(
                    f"the {statistic} of real data are not stored: expected {self.count} samples,"
                    f" got {seen}"
                )
                continue
            try:
                self._write(statistic, tensor)
            except (OSError, SafetensorError) as error:
                rank_zero_warn(
                    f"the {statistic} of real data cannot be stored in {self.folder}"
                    f" ({_line(error)}); they will be computed again"
                )

    def _read(self, statistic: str) -> Tensor | None:
        path = self.path(statistic)
        try:
            check_regular(path)
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != self._identity or statistic not in file.keys():  # noqa: SIM118
                    raise ValueError("it belongs to other data")
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
            # atomic: no other process reads half of it
            Path(draft).replace(self.path(statistic))
        finally:
            with contextlib.suppress(OSError):
                Path(draft).unlink(missing_ok=True)


def default_folder() -> Path:
    """The folder of files that can be recomputed: ``$XDG_CACHE_HOME/lightning_gans``."""
    return typed_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lightning_gans"


def _kinds(metrics: Iterable[TwoSampleMetric]) -> list[str]:
    return sorted({metric.statistic for metric in metrics})


def _count(statistic: str, tensor: Tensor) -> int:
    return int(tensor[0, 0].item()) if statistic == "moments" else len(tensor)


def _sha256(tensor: Tensor) -> str:
    found = hashlib.sha256()
    hash_tensor(tensor, found)
    return found.hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
