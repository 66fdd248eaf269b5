"""Noise that is independent for each pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.ood.corruptions import draws


def shot_noise(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """Photon noise: Poisson counts with a mean of 3 for white, clipped at white.

    The noise's standard deviation is proportional to the severity; black stays black.
    """
    # at least 1e-6: more photons make no visible difference and overflow the count
    photons = 3 / max(severity, 1e-6) ** 2
    return draws.poisson(random, pixels * photons) / photons


def impulse_noise(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A share of 17 % of the values, times the severity, becomes black or white at random."""
    hit, coin = draws.uniform(random, 2, *pixels.shape[1:]).unbind(1)
    # a value that is hit at a low severity is hit at higher ones too, in the same colour
    return torch.where(hit < 0.17 * severity, (coin < 0.5).to(pixels), pixels)
