"""White lines across the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.ood.corruptions import draws


def dotted_line(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A line of white dots in a random direction; the severity is their opacity.

    Dots of 2 pixels (of 28), 4 apart; the line passes within 4 pixels of the centre.
    """
    unit = pixels.shape[2] / 28
    along, across = _axes(pixels, random)
    spacing = 4 * unit
    from_dot = along - spacing * (along / spacing).round()
    return _drawn(pixels, torch.hypot(from_dot, across), unit, severity)


def zigzag(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A white zigzag in a random direction; the severity is its opacity.

    1.5 pixels (of 28) thick, with an amplitude of 3 pixels and a period of 8; its axis passes
    within 4 pixels of the centre.
    """
    unit = pixels.shape[2] / 28
    along, across = _axes(pixels, random)
    half, swing = 4 * unit, 3 * unit
    # folded at its turns, the zigzag is a single slope from (0, -swing) to (half, swing)
    along = (torch.remainder(along, 2 * half) - half).abs()
    distance = (2 * swing * along - half * (across + swing)).abs() / math.hypot(2 * swing, half)
    return _drawn(pixels, distance, 0.75 * unit, severity)


def _axes(pixels: Tensor, random: list[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Position of each pixel along a random line and across it, in pixels, (n, h, w) both."""
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
    """Draw white within a radius, antialiased over one pixel; distances (n, h, w)."""
    ink = (radius + 0.5 - distance).clamp(0, 1)[:, None]
    return pixels + opacity * ink * (1 - pixels)
