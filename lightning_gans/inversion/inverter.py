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

from lightning_gans.inversion.descent import AllRestartsLost
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.priors import Prior

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
        folder: where parts are written; all processes must see it.
        condition: images and labels to conditions, for class-conditional generators.
    """

    def __init__(
        self,
        generator: nn.Module,
        prior: Prior,
        recover: partial[Recovery],
        folder: Path,
        condition: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.prior = generator, prior
        self.recover, self.folder, self.condition = recover, folder, condition

    def predict_step(self, batch: Part, batch_idx: int) -> int:
        """Recover a part and write it, without images that are lost; returns how many are left."""
        x, y, first = batch
        condition = None if self.condition is None else self.condition(x, y)
        try:
            recovery: Recovery | None = self.recover(
                self.generator,
                x,
                self.prior,
                condition=condition,
                first=first,
                progress=self.trainer.is_global_zero,
            )
        except AllRestartsLost as error:
            recovery = error.recovery
        if recovery is None:
            return 0
        recovery.save(self.folder / f"{first:09d}.safetensors")
        return len(recovery)

    def on_predict_end(self) -> None:
        """Wait until every process has written its parts."""
        self.trainer.strategy.barrier("parts")


def gather(folder: Path, n: int) -> tuple[Recovery | None, list[int]]:
    """The recovery of all parts in a folder, and the positions of images that are missing."""
    parts = [Recovery.load(path) for path in sorted(folder.glob("*.safetensors"))]
    recovery = Recovery.join(parts) if parts else None
    found = set() if recovery is None else set(recovery.indices.tolist())
    return recovery, [i for i in range(n) if i not in found]
