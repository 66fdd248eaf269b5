"""White lines drawn across the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.ood.corruptions import draws


def dotted_line(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A line of white dots in a random direction; the severity is their opacity.

    Dots of 2 pixels of 28, 4 apart; the line passes within 4 pixels of the middle.
    """
    unit = pixels.shape[2] / 28
    along, across = _axes(pixels, random)
    spacing = 4 * unit
    from_dot = along - spacing * (along / spacing).round()
    return _drawn(pixels, torch.hypot(from_dot, across), unit, severity)


def zigzag(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A white zigzag in a random direction; the severity is its opacity.

    A line of 1.5 pixels of 28 that swings 3 pixels to either side, once in 8; its middle passes
    within 4 pixels of the image's.
    """
    unit = pixels.shape[2] / 28
    along, across = _axes(pixels, random)
    half, swing = 4 * unit, 3 * unit
    # folded at the zigzag's turns, where it mirrors itself, one slope is left, from
    # (0, -swing) to (half, swing)
    along = (torch.remainder(along, 2 * half) - half).abs()
    distance = (2 * swing * along - half * (across + swing)).abs() / math.hypot(2 * swing, half)
    return _drawn(pixels, distance, 0.75 * unit, severity)


def _axes(pixels: Tensor, random: list[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Each pixel's position (n, h, w) along a random line and across it, in pixels."""
    height, width = pixels.shape[2:]
    unit = height / 28
    u = draws.uniform(random, 3, 1, 1)
    angle = math.pi * u[:, 0]
    right = torch.arange(width, dtype=u.dtype) - (width - 1) / 2
    down = (torch.arange(height, dtype=u.dtype) - (height - 1) / 2)[:, None]
    along = right * angle.cos() + down * angle.sin() + 8 * unit * u[:, 1]
    across = down * angle.cos() - right * angle.sin() + 8 * unit * (u[:, 2] - 0.5)
    return along, across


def _drawn(pixels: Tensor, distance: Tensor, radius: float, opacity: float) -> Tensor:
    """White within the radius, with edges one pixel soft; distances (n, h, w)."""
    ink = (radius + 0.5 - distance).clamp(0, 1)[:, None]
    return pixels + opacity * ink * (1 - pixels)
