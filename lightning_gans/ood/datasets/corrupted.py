"""Digits that are corrupted on access."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from lightning_gans.data.tensors import Batch, TensorImages, to_signed
from lightning_gans.ood.corruptions import corrupt_bytes
from lightning_gans.ranges import Padding, Seed, checked

# black pixels on each side, which make 32×32 of 28×28
BORDER = 2


class Corrupted(Dataset[Batch]):
    """Padded digits, corrupted within their 28×28 pixels: the border stays black.

    They have 8 bits as in the files of MNIST-C; otherwise their many grey levels would distinguish
    them from digits.

    Args:
        digits: of 28×28 pixels, and the padding around them.
        name: of the corruption.
        seed: of the random parts of the corruption.
        padding: pixels on each side, which make 32×32 by default.
    """

    @checked
    def __init__(
        self, digits: TensorImages, name: str, seed: Seed = 0, padding: Padding = BORDER
    ) -> None:
        self.digits, self.name, self.seed, self.padding = digits, name, seed, padding

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> Batch:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, corrupted at once if the indices are consecutive."""
        chosen, first = list(indices), indices[0]
        inside = slice(self.padding, self.digits.images.shape[-1] - self.padding)
        x = self.digits.images[chosen, :, inside, inside]
        if chosen == list(range(first, first + len(chosen))):
            x = corrupt_bytes(x, self.name, self.seed, first)
        else:
            single = zip(x, chosen, strict=True)
            x = torch.cat([corrupt_bytes(i[None], self.name, self.seed, k) for i, k in single])
        return to_signed(padded(x, self.padding)), self.digits.labels[chosen]


def padded(digits: Tensor, padding: int = BORDER) -> Tensor:
    """Digits 28×28 with a black border of so many pixels, by default 32×32."""
    return pad(digits, (padding,) * 4)
