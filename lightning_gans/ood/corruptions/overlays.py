"""Overlays on an image, and its edges in its place."""

from __future__ import annotations

import numpy as np
import torch
from skimage.feature import canny
from torch import Tensor

from lightning_gans.ood.corruptions import draws
from lightning_gans.ood.corruptions.blur import gaussian


def stripe(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """The middle quarter of the columns inverted; the severity fades the inverse in."""
    width = pixels.shape[3]
    band = round(width / 4)
    left = (width - band) // 2
    y = pixels.clone()
    y[..., left : left + band].lerp_(1 - pixels[..., left : left + band], severity)
    return y


def fog(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A haze up to three times as bright as white; the sum is scaled back to [0, 1].

    The severity scales the haze's brightness.
    """
    density = 3 * severity
    haze = _plasma(max(pixels.shape[2:]), random)[:, None, : pixels.shape[2], : pixels.shape[3]]
    return (pixels + density * haze) / (1 + density)


def _plasma(size: int, random: list[torch.Generator]) -> Tensor:
    """Clouds in [0, 1] by the diamond-square algorithm on a torus (Fournier et al. 1982).

    A point between known ones is their mean plus a random offset, which is halved whenever the
    grid is refined.

    Returns:
        (images, s, s), where s is the smallest power of two that is at least ``size``.
    """
    side = 1 << (size - 1).bit_length()
    offsets = 2 * draws.uniform(random, side, side) - 1
    y = torch.zeros_like(offsets)
    step, scale = side, 1.0
    while step > 1:
        half = step // 2
        corners = y[:, ::step, ::step]
        below, right = corners.roll(-1, 1), corners.roll(-1, 2)
        middles = (corners + below + right + below.roll(-1, 2)) / 4
        middles += scale * offsets[:, half::step, half::step]
        y[:, half::step, half::step] = middles
        across = (corners + right + middles + middles.roll(1, 1)) / 4
        y[:, ::step, half::step] = across + scale * offsets[:, ::step, half::step]
        down = (corners + below + middles + middles.roll(1, 2)) / 4
        y[:, half::step, ::step] = down + scale * offsets[:, half::step, ::step]
        step, scale = half, scale / 2
    low, high = y.amin((1, 2), keepdim=True), y.amax((1, 2), keepdim=True)
    # a single pixel has no contrast
    return (y - low) / (high - low).clamp_min(torch.finfo(y.dtype).tiny)


def spatter(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """Dark grey splotches, like mud on the lens; the severity is their opacity."""
    height, width = pixels.shape[2:]
    unit, mud = height / 28, 0.18
    wet = gaussian(draws.normal(random, height, width), unit) > 0
    cover = gaussian(wet.to(pixels), 1.5 * unit)
    cover = torch.where(cover < 0.8, 0.0, cover)[:, None]
    return torch.lerp(pixels, torch.full_like(pixels, mud), severity * cover)


def canny_edges(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """White edges of the mean of the channels on black, fading in with the severity.

    Canny's detector with a standard deviation of 1 pixel (of 28), thresholds 0.1 and 0.2.
    """
    sigma = pixels.shape[2] / 28
    edges = [
        canny(grey, sigma, low_threshold=0.1, high_threshold=0.2) for grey in pixels.mean(1).numpy()
    ]
    return torch.lerp(pixels, torch.from_numpy(np.stack(edges))[:, None].to(pixels), severity)
