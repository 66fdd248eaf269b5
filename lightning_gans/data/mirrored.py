"""Images and their mirror images, to train on twice as many."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.tensors import Batch, whole_batch


class WithMirrored(Dataset[Batch]):
    """The n images of a dataset, and from index n on the same with left and right swapped.

    Which of the two is shown is the sampler's choice, so that it does not depend on the processes
    that load the images.

    Args:
        images: a dataset of (x, y) with a length, x (channels, height, width).
    """

    def __init__(self, images: Dataset[Batch]) -> None:
        self.images = images
        self.count = len(cast(Sized, images))

    def __len__(self) -> int:
        return 2 * self.count

    def __getitem__(self, index: int) -> Batch:
        x, y = self.images[index % self.count]
        return (x.flip(-1) if index >= self.count else x), y

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, (n, channels, height, width) and its labels."""
        chosen = [index % self.count for index in indices]
        getitems = getattr(self.images, "__getitems__", None)
        x, y = whole_batch(getitems(chosen) if getitems else [self.images[i] for i in chosen])
        mirrored: Tensor = torch.as_tensor(indices) >= self.count
        return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x), y
