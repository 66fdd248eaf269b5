"""The one way from images in [-1, 1] to the 256 levels of a picture, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def to_uint8(x: Tensor) -> Tensor:
    """Round images to the nearest of 256 levels, values beyond the range to its ends.

    Training pictures, saved files and every metric go through this one function: a plain cast
    wraps around (1.005 would become black), and two roundings would be two sets of results.

    Args:
        x: images in [-1, 1], floating point, any shape.

    Returns:
        floor(127.5 x + 128) clamped to [0, 255], uint8, same shape.

    Raises:
        ValueError: if x is not floating point or holds NaN.

    Source: the rule of Karras et al. 2018 (progressive growing) and its successors.

    >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 1.2]))
    tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    if not x.is_floating_point():
        raise ValueError(f"expected floating point images in [-1, 1], got {x.dtype}")
    if x.isnan().any():
        raise ValueError("the images hold NaN; a diverged generator has no picture")
    x = x.detach()
    if x.itemsize < 4:  # half precision cannot tell neighbouring levels apart near 255
        x = x.float()
    return (x * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def from_uint8(levels: Tensor) -> Tensor:
    """Turn the 256 levels of a picture into float32 in [-1, 1]: level / 127.5 - 1.

    Args:
        levels: uint8, any shape.

    Raises:
        ValueError: if levels is not uint8.
    """
    if levels.dtype != torch.uint8:
        raise ValueError(f"expected uint8 levels, got {levels.dtype}; to_uint8 makes them")
    return levels.float() / 127.5 - 1
