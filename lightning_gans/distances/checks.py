"""Input checks and precision of the distances."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def as_codes(z: Tensor) -> Tensor:
    """The codes, at least in float32; an InputError unless they are (n, L) and floating point."""
    if z.ndim != 2 or z.shape[1] < 1 or not z.is_floating_point():
        raise InputError(
            f"expected floating-point codes of shape (n, L), got {tuple(z.shape)} of {z.dtype}"
        )
    return z.to(at_least_float32(z))


def at_least_float32(z: Tensor) -> torch.dtype:
    """The type of results; half precision is too coarse for a loss."""
    return torch.promote_types(z.dtype, torch.float32)


def root(square: Tensor) -> Tensor:
    """The square root with gradient 0 at 0, where it would be infinite."""
    return square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()


def check_order(order: int) -> None:
    """Raise an InputError for an order other than 1 and 2."""
    if order not in {1, 2}:
        raise InputError(f"expected a Wasserstein distance of order 1 or 2, got order {order}")
