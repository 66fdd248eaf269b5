"""Images in memory, which return whole batches in one operation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

Batch = tuple[Tensor, Tensor]


def to_signed(images: Tensor) -> Tensor:
    """Bytes 0..255 as float32 in [-1, 1], of any shape: x / 127.5 - 1.

    >>> to_signed(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    return images.to(torch.float32).div_(127.5).sub_(1)


def whole_batch(items: Batch | list[Batch]) -> Batch:
    """Collate function that leaves the batches of ``__getitems__`` as they are.

    Args:
        items: (x, y) with a batch dimension, or a list of single (x, y).
    """
    if isinstance(items, tuple):
        return items
    x, y = default_collate(items)
    return x, y


class TensorImages(Dataset[Batch]):
    """Images stored in memory as bytes, with their labels; float32 in [-1, 1] on access.

    Args:
        images: (n, C, H, W), uint8.
        labels: (n,) or (n, attributes), int64.

    Raises:
        ValueError: if the images are not such, or images and labels differ in number.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(
                f"expected images (n, C, H, W) of uint8, got {tuple(images.shape)} {images.dtype}"
            )
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return to_signed(self.images[index]), self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch: one gather and one scaling, whatever its size."""
        chosen = torch.as_tensor(indices)
        return to_signed(self.images[chosen]), self.labels[chosen]
