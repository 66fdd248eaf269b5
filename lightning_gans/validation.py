"""Validation of inputs: shapes, ranges and finite values."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.errors import InputError

# by how much rounding may take an image out of [-1, 1]
SLACK = 1e-3


def check_shape(values: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raise an InputError unless ``values`` is (n, *shape) and finite."""
    if values.shape[1:] != shape:
        raise InputError(
            f"expected {what} of shape (n, {', '.join(map(str, shape))}), got {tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise InputError(f"expected {what} of finite numbers, got some that are NaN or infinite")


def check_images(x: Tensor, shape: tuple[int, ...], what: str = "images") -> None:
    """Raise an InputError unless x is (n, *shape), finite and, for images, in [-1, 1]."""
    check_shape(x, shape, what)
    if len(shape) == 3 and x.numel() and x.abs().max() > 1 + SLACK:
        raise InputError(
            f"expected {what} in [-1, 1], got values from {x.min():.4g} to {x.max():.4g}; "
            "scale pixels of 0 to 255 by x / 127.5 - 1, and clamp after resizing"
        )


def clip(x: Tensor) -> Tensor:
    """Clip images (n, channels, height, width) to [-1, 1]; points (n, d) are returned unchanged."""
    return x.clamp(-1, 1) if x.ndim == 4 else x
