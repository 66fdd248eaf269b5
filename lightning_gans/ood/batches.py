"""A dataset's images in batches, in order."""

from __future__ import annotations

from collections.abc import Sized
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset, Subset

from lightning_gans.data.tensors import Batch, whole_batch
from lightning_gans.rng import stream


def size(images: Dataset[Batch]) -> int:
    """How many images a dataset has."""
    return len(cast(Sized, images))


def batches(images: Dataset[Batch], batch_size: int, n: int | None = None) -> DataLoader[Batch]:
    """The first n images, or all, and their labels."""
    return DataLoader(
        images if n is None else Subset(images, range(n)),
        batch_size=batch_size,
        collate_fn=whole_batch,
        # a loader draws a seed for its workers even if it has none: not from the global stream
        generator=torch.Generator(),
    )


def subsample(images: Dataset[Batch], most: int, purpose: str) -> Dataset[Batch]:
    """All images, or ``most`` of them drawn without replacement, in order; always the same ones.

    Args:
        images: the dataset.
        most: how many, at most.
        purpose: what they are drawn for; another purpose draws others.
    """
    count = size(images)
    if count <= most:
        return images
    order = torch.randperm(count, generator=stream(purpose, seed=0))[:most]
    return Subset(images, order.sort().values.tolist())
