"""Conversion between images in [-1, 1] and 8-bit pixels, the same everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.validation import check_tensor


def to_uint8(x: Tensor) -> Tensor:
    """Round images to 256 levels; values outside of [-1, 1] are clamped.

    Training pictures, saved files and every metric use this function: a plain cast wraps around
    (1.005 would become black), and another rounding would give other results.

    Args:
        x: images in [-1, 1], floating point, any shape.

    Returns:
        floor(127.5 x + 128) clamped to [0, 255], uint8, same shape.

    Raises:
        ValueError: if x is not floating point or contains NaN.

    Source: the rule of Karras et al. 2018 (progressive growing) and its successors.

    >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 1.2]))
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    check_tensor(x, "images")
    if not x.is_floating_point():
        raise ValueError(f"expected floating point images in [-1, 1], got {x.dtype}")
    if x.isnan().any():
        raise ValueError("the images contain NaN; the generator has diverged")
    x = x.detach()
    if x.itemsize < 4:  # half precision cannot represent all levels near 255
        x = x.float()
    return (x * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def from_uint8(levels: Tensor) -> Tensor:
    """Convert 256 levels to float32 in [-1, 1]: level / 127.5 - 1.

    Args:
        levels: uint8, any shape.

    Raises:
        ValueError: if levels is not uint8.
    """
    check_tensor(levels, "levels")
    if levels.dtype != torch.uint8:
        raise ValueError(f"expected uint8 levels, got {levels.dtype}; to_uint8 makes them")
    return levels.float() / 127.5 - 1
