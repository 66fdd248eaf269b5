"""Data with sets of images that are strange to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sized
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from lightning_gans.data import DataModule
from lightning_gans.data.tensors import Batch, whole_batch


class OODData(DataModule, ABC):
    """Training images, ID images that were not trained on (to validate), and sets of OOD images.

    ``setup`` opens all three; ``train_set`` only for another stage than fit.

    Attributes:
        sets: OOD sets by name, in the order of the thesis's tables; known after ``setup``. Image i
            of a set is paired with ID image i.
        missing: of the sets that are not there, by name, why not, in one line.
    """

    sets: Mapping[str, Dataset[Batch]]
    missing: Mapping[str, str]

    @property
    @abstractmethod
    def near(self) -> float:
        """The share of the OOD image in images of the near sets of the thesis."""


def size(images: Dataset[Batch]) -> int:
    """How many images a dataset has."""
    return len(cast(Sized, images))


def batches(images: Dataset[Batch], n: int, batch_size: int) -> DataLoader[Batch]:
    """The first n images and their labels, in order."""
    return DataLoader(
        Subset(images, range(n)),
        batch_size=batch_size,
        collate_fn=whole_batch,
        # a loader draws a seed for its workers even if it has none: not from the global stream
        generator=torch.Generator(),
    )
