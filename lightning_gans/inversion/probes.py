"""Images that test how far an inverter reaches beyond what its generator was trained on.

Shifted images and noise, as in "Impact of the latent space on the ability of GANs to fit the
distribution" (2019), section 5.3. The third of its probes, images of another dataset, needs no
function: give them the generator's size and range.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def shifted(x: Tensor, right: int, down: int, fill: float = -1.0) -> Tensor:
    """Images moved by whole pixels; what moves out is lost, what is bared is filled.

    Args:
        x: images (n, channels, height, width).
        right: pixels to the right; negative ones to the left.
        down: pixels down; negative ones up.
        fill: the background's value.

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
    # beyond the image both sides are empty
    y[..., to_rows, to_columns] = x[..., from_rows, from_columns]
    return y


def _move(by: int) -> tuple[slice, slice]:
    """Where to, and where from, pixels move along one side."""
    ahead, behind = slice(abs(by), None), slice(None, -abs(by) or None)
    return (ahead, behind) if by >= 0 else (behind, ahead)


def noise(n: int, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Pixels drawn independently from U(-1, 1), to images (n, *shape) on the generator's device.

    No generator of pictures should reach them; an inverter that does fits anything.
    """
    return 2 * torch.rand(n, *shape, generator=random, device=random.device) - 1
