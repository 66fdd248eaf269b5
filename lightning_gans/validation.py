"""What models and inversion accept: shapes, ranges, and numbers that are numbers."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.errors import InputError

# how far beyond [-1, 1] an image may go by rounding
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
    """Raise an InputError unless x is (n, *shape), finite and, if of images, in [-1, 1]."""
    check_shape(x, shape, what)
    if len(shape) == 3 and x.numel() and x.abs().max() > 1 + SLACK:
        raise InputError(
            f"expected {what} in [-1, 1], got values from {x.min():.4g} to {x.max():.4g}; "
            "scale pixels of 0 to 255 by x / 127.5 - 1, clamp what resizing overshot"
        )


def clip(x: Tensor) -> Tensor:
    """Images (n, channels, height, width) clipped to [-1, 1]; points, (n, d), as they are."""
    return x.clamp(-1, 1) if x.ndim == 4 else x
