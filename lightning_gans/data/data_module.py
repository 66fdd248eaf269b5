"""What all data have in common: shapes known at once, batches (x, y), an order of our own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sized
from typing import cast

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data.sampling import EpochShuffle, Share
from lightning_gans.data.tensors import Batch, whole_batch
from lightning_gans.errors import InputError, UserError
from lightning_gans.rng import global_seed


class DataMissing(UserError, FileNotFoundError):
    """Data are not where they should be; the message says what, where, and how to get them."""


class DataModule(LightningDataModule, ABC):
    """Training and validation data whose batches are ``(x, y)``.

    ``x`` is float32, images in [-1, 1]; ``y`` is int64, zeros where there are no labels: (n,) class
    indices of one label, (n, labels) of several.
    A subclass sets ``train_set`` and ``validation_set`` in ``setup``, which may be called often.

    Args:
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if ``batch_size`` or ``workers`` is out of range.
    """

    train_set: Dataset[Batch]
    validation_set: Dataset[Batch]

    def __init__(self, batch_size: int = 32, workers: int = 0) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.batch_size = batch_size
        self.workers = workers

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W) of an image, (2,) of a point. Known before ``setup``."""

    @property
    @abstractmethod
    def classes(self) -> tuple[int, ...]:
        """How many classes each label in ``y`` has, () without labels; known before ``setup``.

        (10,) for digits, (2, 2, 2) for three binary attributes.
        """

    @abstractmethod
    def setup(self, stage: str | None = None) -> None:
        """Make ``train_set`` and ``validation_set``; without the first for another stage than fit.

        Args:
            stage: "fit", "validate", "test" or "predict"; None makes everything.
        """

    def train_dataloader(self) -> DataLoader[Batch]:
        """This process's share of batches in a new order each epoch, but a last partial one.

        Raises:
            ValueError: if there are fewer training examples than fill one batch.
        """
        trainer = self.trainer
        rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        found, together = len(cast(Sized, self.train_set)), self.batch_size * processes
        if found < together:
            each = f" in each of {processes} processes" if processes > 1 else ""
            raise InputError(
                f"{type(self).__name__} has {found} training examples, which do not fill one batch "
                f"of {self.batch_size}{each}; choose a smaller batch_size"
            )
        counted = None if trainer is None else lambda: trainer.global_step
        sampler = EpochShuffle(found, global_seed(), together, counted, rank, processes)
        return self._loader(self.train_set, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation example once, in order; of several processes, each its share.

        Raises:
            ValueError: if there are none, or fewer than processes.
        """
        trainer, found = self.trainer, len(cast(Sized, self.validation_set))
        rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        if not found:
            raise InputError(f"{type(self).__name__} has no validation examples")
        if found < processes:
            raise InputError(
                f"{type(self).__name__} has {found} validation examples for {processes} processes, "
                "each of which needs one; use fewer processes"
            )
        return self._loader(self.validation_set, Share(found, rank, processes))

    def test_dataloader(self) -> DataLoader[Batch]:
        """The validation examples, in order."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The validation examples, in order."""
        return self.val_dataloader()

    def _loader(
        self, dataset: Dataset[Batch], sampler: EpochShuffle | Share, drop_last: bool = False
    ) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=whole_batch,
            pin_memory=torch.cuda.is_available(),
            # a loader draws a seed for its workers even if it has none: not from the global stream
            generator=torch.Generator(),
        )
