"""Noise that strikes each pixel by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.ood.corruptions import draws


def shot_noise(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """Pixels counted in few photons: Poisson with 3 photons for white, clipped at white.

    The noise's standard deviation is proportional to the severity; black stays black.
    """
    # a dose too high to tell from the image, before it is too high to count
    photons = 3 / max(severity, 1e-6) ** 2
    return draws.poisson(random, pixels * photons) / photons


def impulse_noise(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """17 % of the values, times the severity, set to black or white with equal chances."""
    struck, coin = draws.uniform(random, 2, *pixels.shape[1:]).unbind(1)
    # a value that is struck at a low severity is struck at a higher one too, in the same colour
    return torch.where(struck < 0.17 * severity, (coin < 0.5).to(pixels), pixels)
