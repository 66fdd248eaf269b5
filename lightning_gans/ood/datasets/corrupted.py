"""Digits that are corrupted on access."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from lightning_gans.data.tensors import Batch, TensorImages, to_signed
from lightning_gans.ood.corruptions import corrupt
from lightning_gans.ranges import Seed, checked

# black pixels on each side, which make 32×32 of 28×28
BORDER = 2


class Corrupted(Dataset[Batch]):
    """Padded digits, corrupted within their 28×28 pixels: the border stays black.

    They are rounded to 8 bits as in the files of MNIST-C; otherwise their many grey levels would
    distinguish them from digits.

    Args:
        digits: 32×32, with two pixels of padding on each side.
        name: of the corruption.
        seed: of the random parts of the corruption.
    """

    @checked
    def __init__(self, digits: TensorImages, name: str, seed: Seed = 0) -> None:
        self.digits, self.name, self.seed = digits, name, seed

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> Batch:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, corrupted at once if the indices are consecutive."""
        x, y = self.digits.__getitems__(indices)
        x = x[:, :, BORDER:-BORDER, BORDER:-BORDER]
        first = indices[0]
        if list(indices) == list(range(first, first + len(indices))):
            x = corrupt(x, self.name, seed=self.seed, first=first)
        else:
            single = zip(x, indices, strict=True)
            x = torch.cat([corrupt(i[None], self.name, seed=self.seed, first=k) for i, k in single])
        return to_signed(pad(to_bytes(x), (BORDER,) * 4)), y


def to_bytes(x: Tensor) -> Tensor:
    """Images in [-1, 1] as bytes 0..255, rounded."""
    return ((x + 1) * 127.5).round().to(torch.uint8)
