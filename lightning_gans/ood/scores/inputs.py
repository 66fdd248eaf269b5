"""Checks that all formulas make of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def check_rows(values: Tensor, what: str) -> Tensor:
    """Values of shape (n, k), in float32 at least.

    Args:
        values: the argument.
        what: it is, for messages, such as "logits".

    Raises:
        InputError: for another shape, k = 0, another type or non-finite values.
    """
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"expected {what} of shape (n, k), got {tuple(values.shape)}")
    check_finite(values, what)
    return at_least_float32(values)


def check_finite(values: Tensor, what: str) -> None:
    """Raise an InputError unless all values are finite and of a floating type."""
    if not values.is_floating_point():
        raise InputError(f"expected {what} of floating type, got {values.dtype}")
    if not values.isfinite().all():
        raise InputError(f"expected {what} of finite numbers, got some that are NaN or infinite")


def at_least_float32(values: Tensor) -> Tensor:
    """Values in their own precision, or in float32 if that is higher."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
