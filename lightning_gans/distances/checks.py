"""What the distances accept, and in which precision they compute."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def as_codes(z: Tensor) -> Tensor:
    """The codes, in float32 at least; an InputError unless they are (n, L) and floating."""
    if z.ndim != 2 or z.shape[1] < 1 or not z.is_floating_point():
        raise InputError(
            f"expected codes of shape (n, L) and floating type, got {tuple(z.shape)} of {z.dtype}"
        )
    return z.to(at_least_float32(z))


def at_least_float32(z: Tensor) -> torch.dtype:
    """The type of what is computed from codes: half precision is too coarse for a loss."""
    return torch.promote_types(z.dtype, torch.float32)


def root(square: Tensor) -> Tensor:
    """The root, never of zero: there its gradient is infinite, and here it is 0."""
    return square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()


def check_order(order: int) -> None:
    """Raise an InputError for an order other than 1 and 2."""
    if order not in {1, 2}:
        raise InputError(f"expected a Wasserstein distance of order 1 or 2, got order {order}")
