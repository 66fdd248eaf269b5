"""Recovery of many images by several processes, under Lightning's predict loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightning_gans.errors import UserError
from lightning_gans.inversion.diverged import AllRestartsDiverged
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.priors import Prior

# the ending of the file that stands for a part of which every image was lost
LOST = ".lost"


class PartsMissing(UserError, FileNotFoundError):
    """A part of a recovery is not where it should be."""


Part = tuple[Tensor, Tensor, int]
"""Images (n, *shape), their labels, and the position of the first."""


class Parts(Dataset[Part]):
    """The first ``n`` images of a dataset, in parts of ``size``.

    Args:
        dataset: gives (x, y).
        n: how many images.
        size: of a part.
        change: what is done to a part's images (n, *shape), given the position of the first.
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
    """Gives each process every so many-th part: what a part holds does not depend on how many.

    Args:
        parts: of all images.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts

    def predict_dataloader(self) -> DataLoader[Part]:
        """This process's parts, in order."""
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        mine = range(rank, len(self.parts), world)
        return DataLoader(self.parts, batch_size=None, sampler=mine)


class Inverter(LightningModule):
    """Recovers parts of a set of images, and writes each as soon as it is done.

    Every part draws from a stream of its own, so that the result is the same whatever the number
    of processes.

    Args:
        generator: see :func:`~lightning_gans.inversion.recover`.
        prior: of the latents.
        recover: :func:`~lightning_gans.inversion.recover` with its settings; called as
            ``recover(generator, x, prior, condition=..., first=..., progress=...)``.
        new_folder: makes the folder of all results; asked in one process, which tells the others.
            All must see it.
        condition: images and labels to conditions, for class-conditional generators.
        model: what ``recover`` and ``condition`` ask besides the generator, moved with it.

    Attributes:
        folder: of all results, once there is one.
    """

    folder: Path

    def __init__(
        self,
        generator: nn.Module,
        prior: Prior,
        recover: partial[Recovery],
        new_folder: Callable[[], Path],
        condition: Callable[[Tensor, Tensor], Tensor] | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.prior, self.model = generator, prior, model
        self.recover, self.new_folder, self.condition = recover, new_folder, condition

    def setup(self, stage: str) -> None:
        """Agree on the folder."""
        folder = self.new_folder() if self.trainer.is_global_zero else None
        self.folder = Path(str(self.trainer.strategy.broadcast(folder)))

    def predict_step(self, batch: Part, batch_idx: int) -> int:
        """Recover a part and write it, without images that are lost; returns how many are left."""
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
            path.with_suffix(LOST).parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(LOST).touch()
            return 0
        recovery.save(path)
        return len(recovery)

    def on_predict_end(self) -> None:
        """Wait until every process has written its parts."""
        self.trainer.strategy.barrier("parts")


def part_file(folder: Path, first: int) -> Path:
    """Where the part that begins with an image is written."""
    return folder / "parts" / f"{first:09d}.safetensors"


def gather(folder: Path, parts: Parts) -> tuple[Recovery | None, list[int]]:
    """The recovery of all parts in a run's folder, and the positions of images that were lost.

    Raises:
        PartsMissing: if a process has not written its parts where this one can see them.
    """
    files = [part_file(folder, first) for first in range(0, parts.n, parts.size)]
    absent = [f.name for f in files if not (f.is_file() or f.with_suffix(LOST).is_file())]
    if absent:
        raise PartsMissing(
            f"{len(absent)} of {len(files)} parts are not in {folder / 'parts'}, {absent[0]} for "
            "one; all processes must write to one file system"
        )
    found = [Recovery.load(file) for file in files if file.is_file()]
    recovery = Recovery.join(found) if found else None
    there = set() if recovery is None else set(recovery.indices.tolist())
    return recovery, [i for i in range(parts.n) if i not in there]
