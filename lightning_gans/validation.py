"""Validation of inputs: shapes, ranges and finite values."""

from __future__ import annotations

from typing import SupportsIndex

import torch
from torch import Tensor

from lightning_gans.errors import InputError

# by how much rounding may take an image out of [-1, 1]
SLACK = 1e-3


def check_tensor(values: object, what: str) -> None:
    """Raise an InputError unless ``values`` is a tensor with elements in memory, one by one."""
    if not isinstance(values, Tensor):
        raise InputError(
            f"expected {what} as a torch.Tensor, got {type(values).__name__}; "
            "torch.as_tensor makes one"
        )
    if values.layout != torch.strided or values.is_complex() or values.is_nested:
        given = values.dtype if values.is_complex() else values.layout
        raise InputError(
            f"expected {what} as a dense tensor of real numbers, got "
            f"{'a nested one' if values.is_nested else given}"
        )


def as_input(values: object, like: Tensor | None, what: str) -> Tensor:
    """A tensor as the input of a network: of floating-point numbers, in the type of its weights.

    float64 and half-precision numbers become those of the weights. Integers are refused: they are
    more likely pixels of 0 to 255 than values in [-1, 1].

    Args:
        values: what a user gave.
        like: a weight; None takes any type on any device.
        what: its name for a message, such as images.

    Raises:
        InputError: if it is no such tensor, or on another device.
    """
    check_tensor(values, what)
    assert isinstance(values, Tensor)
    if not values.is_floating_point():
        hint = "; scale pixels of 0 to 255 by x / 127.5 - 1" if "image" in what else ""
        raise InputError(f"expected {what} as floating-point numbers, got {values.dtype}{hint}")
    if like is None:
        return values
    if values.device != like.device:
        raise InputError(
            f"expected {what} on {like.device}, where the model is, got them on {values.device}; "
            "move them with .to(model.device)"
        )
    return values.to(like.dtype)


def check_count(n: object, what: str = "n") -> None:
    """Raise an InputError unless ``n`` is a whole number of at least 1."""
    if isinstance(n, bool) or not isinstance(n, SupportsIndex) or n.__index__() < 1:
        raise InputError(f"expected {what} as a whole number of at least 1, got {n!r}")


def check_shape(values: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raise an InputError unless ``values`` is (n, *shape), of floating point, and finite."""
    as_input(values, None, what)
    if values.shape[1:] != shape:
        hint = "; add a dimension with x[None]" if values.shape == shape else ""
        raise InputError(
            f"expected {what} of shape (n, {', '.join(map(str, shape))}), got "
            f"{tuple(values.shape)}{hint}"
        )
    if not values.isfinite().all():
        raise InputError(f"expected {what} of finite numbers, got some that are NaN or infinite")


def check_images(x: Tensor, shape: tuple[int, ...], what: str = "images") -> None:
    """Raise an InputError unless x is (n, *shape), finite and, for images, in [-1, 1]."""
    if _is_batch(x, shape):
        # one pass over the pixels, in which NaN stays NaN: a tenth of the time
        low, high = map(float, x.aminmax())
        limit = 1 + SLACK if len(shape) == 3 else torch.finfo(x.dtype).max
        if -limit <= low and high <= limit:
            return
    check_shape(x, shape, what)
    if len(shape) == 3 and x.numel() and x.abs().max() > 1 + SLACK:
        raise InputError(
            f"expected {what} in [-1, 1], got values from {x.min():.4g} to {x.max():.4g}; "
            "scale pixels of 0 to 255 by x / 127.5 - 1, and clamp after resizing"
        )


def _is_batch(x: Tensor, shape: tuple[int, ...]) -> bool:
    dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_nested
    return dense and x.is_floating_point() and x.shape[1:] == shape and x.numel() > 0


def clip(x: Tensor) -> Tensor:
    """Clip images (n, channels, height, width) to [-1, 1]; points (n, d) are returned unchanged."""
    return x.clamp(-1, 1) if x.ndim == 4 else x
