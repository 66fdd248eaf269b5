"""Images that test how far inversion reaches beyond the generator's training data.

Shifted images and noise (Latent Space 2019, section 5.3). The third probe of the paper, images of
another data set, needs no function: resize and scale them as the generator expects.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def shifted(x: Tensor, right: int, down: int, fill: float = -1.0) -> Tensor:
    """Images shifted by whole pixels; the uncovered area is filled.

    Args:
        x: images (n, channels, height, width).
        right: pixels to the right; negative ones to the left.
        down: pixels down; negative ones up.
        fill: value of the uncovered area.

    Returns:
        Images of the same shape.

    Raises:
        InputError: if x is not (n, channels, height, width).
    """
    if x.ndim != 4:
        raise InputError(
            f"expected images of shape (n, channels, height, width), got {tuple(x.shape)}"
        )
    y = torch.full_like(x, fill)
    (to_rows, from_rows), (to_columns, from_columns) = _move(down), _move(right)
    # for shifts beyond the image both slices are empty
    y[..., to_rows, to_columns] = x[..., from_rows, from_columns]
    return y


def _move(by: int) -> tuple[slice, slice]:
    """Target and source slices of a shift along one axis."""
    ahead, behind = slice(abs(by), None), slice(None, -abs(by) or None)
    return (ahead, behind) if by >= 0 else (behind, ahead)


def noise(n: int, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Pixels drawn independently from U(-1, 1), to images (n, *shape) on the generator's device.

    A generator of natural images should not be able to make them; an inversion that recovers them
    can fit anything.
    """
    return 2 * torch.rand(n, *shape, generator=random, device=random.device) - 1
