"""Recovery of many images by several processes, in Lightning's predict loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_gans.errors import UserError
from lightning_gans.inversion.descent import AllRestartsDiverged
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.priors import Prior

# suffix of the empty file that stands for a part in which every image diverged; version 0.1
# called it ".lost"
DIVERGED = ".diverged"
DIVERGED_SUFFIXES = (DIVERGED, ".lost")


class PartsMissing(UserError, FileNotFoundError):
    """A part of a recovery is missing."""


Part = tuple[Tensor, Tensor, int]
"""Images (n, *shape), their labels, and the position of the first image."""


class Parts(Dataset[Part]):
    """The first ``n`` images of a dataset, in parts of ``size``.

    Args:
        dataset: of items (x, y).
        n: number of images.
        size: images per part.
        change: applied to the images (n, *shape) of a part and the position of the first.
    """

    def __init__(
        self,
        dataset: Dataset[tuple[Tensor, Tensor]],
        n: int,
        size: int,
        change: Callable[[Tensor, int], Tensor] | None = None,
    ) -> None:
        self.dataset, self.n, self.size, self.change = dataset, n, size, change

    def __len__(self) -> int:
        return math.ceil(self.n / self.size)

    def __getitem__(self, index: int) -> Part:
        first = index * self.size
        items = [self.dataset[i] for i in range(first, min(first + self.size, self.n))]
        x, y = (torch.stack(values) for values in zip(*items, strict=True))
        return x if self.change is None else self.change(x, first), y, first


class Shares(LightningDataModule):
    """Deals the parts out to the processes; the parts do not depend on how many there are.

    Args:
        parts: of all images.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts

    def predict_dataloader(self) -> DataLoader[Part]:
        """The parts of this process, in order."""
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        mine = range(rank, len(self.parts), world)
        return DataLoader(self.parts, batch_size=None, sampler=mine)


class Inverter(LightningModule):
    """Recovers the parts of a set of images and writes each as soon as it is done.

    Each part has its own random stream, so the result does not depend on the number of processes.

    Args:
        generator: see :func:`~lightning_gans.inversion.recover`.
        prior: of the latents.
        recover: :func:`~lightning_gans.inversion.recover` with its settings bound; called as
            ``recover(generator, x, prior, condition=..., first=..., progress=...)``.
        new_folder: makes the results folder; called in one process, which sends the path to the
            others. All processes must be able to write to it.
        condition: images and labels to conditions, for class-conditional generators.
        model: used by ``recover`` and ``condition``; moved to the device with the generator.

    Attributes:
        folder: of the results, after ``setup``.
    """

    folder: Path

    def __init__(
        self,
        generator: nn.Module,
        prior: Prior,
        recover: Callable[..., Recovery],
        new_folder: Callable[[], Path],
        condition: Callable[[Tensor, Tensor], Tensor] | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.prior, self.model = generator, prior, model
        self.recover, self.new_folder, self.condition = recover, new_folder, condition

    def setup(self, stage: str) -> None:
        """Make the results folder and send its path to all processes."""
        folder = self.new_folder() if self.trainer.is_global_zero else None
        self.folder = Path(str(self.trainer.strategy.broadcast(folder)))

    def predict_step(self, batch: Part, batch_idx: int) -> int:
        """Recover and write a part without the images that diverged; returns how many are left."""
        x, y, first = batch
        try:
            recovery: Recovery | None = self.recover(
                self.generator,
                x,
                self.prior,
                condition=None if self.condition is None else self.condition(x, y),
                first=first,
                progress=self.trainer.is_global_zero,
            )
        except AllRestartsDiverged as error:
            recovery = error.recovery
        path = part_file(self.folder, first)
        if recovery is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(DIVERGED).touch()
            return 0
        recovery.save(path)
        return len(recovery)

    def on_predict_end(self) -> None:
        """Wait until every process has written its parts."""
        self.trainer.strategy.barrier("parts")


def part_file(folder: Path, first: int) -> Path:
    """The file of the part that begins with the image at position ``first``."""
    return folder / "parts" / f"{first:09d}.safetensors"


def gather(folder: Path, parts: Parts) -> tuple[Recovery | None, list[int]]:
    """Join the parts in a results folder.

    Returns:
        The recovery of all images but those that diverged, None if all did; and the positions of
        the images that diverged.

    Raises:
        PartsMissing: if a part is not in the folder.
    """
    files = [part_file(folder, first) for first in range(0, parts.n, parts.size)]
    absent = [
        file.name
        for file in files
        if not any(f.is_file() for f in (file, *map(file.with_suffix, DIVERGED_SUFFIXES)))
    ]
    if absent:
        raise PartsMissing(
            f"{len(absent)} of {len(files)} parts are not in {folder / 'parts'}, among them "
            f"{absent[0]}; all processes must write to the same file system"
        )
    found = [Recovery.load(file) for file in files if file.is_file()]
    recovery = Recovery.join(found) if found else None
    there = set() if recovery is None else set(recovery.indices.tolist())
    return recovery, [i for i in range(parts.n) if i not in there]
