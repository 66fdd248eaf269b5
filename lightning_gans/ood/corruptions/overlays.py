"""Overlays on an image, and its edges in its place."""

from __future__ import annotations

import math

import numpy as np
import torch
from skimage.feature import canny
from torch import Tensor

from lightning_gans.ood.corruptions import draws
from lightning_gans.ood.corruptions.blur import gaussian


def stripe(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A quarter of the columns inverted at either side; the severity fades the inverse in."""
    band = round(pixels.shape[3] / 4)
    # of k / 255 exactly (255 - k) / 255, which is not what 1 - k / 255 always rounds to
    y = torch.lerp(pixels, (255 - 255 * pixels) / 255, severity)
    middle = slice(band, pixels.shape[3] - band)
    y[..., middle] = pixels[..., middle]
    return y


def fog(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A haze up to three times as bright as white; the sum is scaled back to the image's maximum.

    The haze is a corner of clouds 9 times as high and wide: it varies little within an image, much
    between images. The severity scales its brightness.
    """
    height, width = pixels.shape[2:]
    # 256 for 28 pixels, and never smaller than the image
    side = 2 ** max(round(math.log2(256 * height / 28)), math.ceil(math.log2(max(height, width))))
    # image by image, since the clouds are much larger than what is kept of them
    haze = [plasma(2 * draws.uniform([one], side, side)[0] - 1)[:height, :width] for one in random]
    return behind(pixels, torch.stack(haze)[:, None], 3 * severity)


def behind(pixels: Tensor, haze: Tensor, density: float) -> Tensor:
    """Images behind a haze, each scaled back to its own maximum."""
    white = pixels.amax((1, 2, 3), keepdim=True)
    return (pixels + density * haze) * white / (white + density)


def plasma(offsets: Tensor) -> Tensor:
    """Clouds in [0, 1] by the diamond-square algorithm on a torus (Fournier et al. 1982).

    A point between known ones is their mean plus a random offset, which is divided by 1.96 whenever
    the grid is refined: 1.4 squared, since MNIST-C's generator multiplies a wibble by another one.

    Args:
        offsets: (side, side), in [-1, 1], of each point; the side is a power of two.

    Returns:
        (side, side), with a minimum of 0 and a maximum of 1.
    """
    y = torch.zeros_like(offsets)
    step, scale = len(y), 1.0
    while step > 1:
        half = step // 2
        corners = y[::step, ::step]
        below, right = corners.roll(-1, 0), corners.roll(-1, 1)
        middles = (corners + below + right + below.roll(-1, 1)) / 4
        middles += scale * offsets[half::step, half::step]
        y[half::step, half::step] = middles
        across = (corners + right + middles + middles.roll(1, 0)) / 4
        y[::step, half::step] = across + scale * offsets[::step, half::step]
        down = (corners + below + middles + middles.roll(1, 1)) / 4
        y[half::step, ::step] = down + scale * offsets[half::step, ::step]
        step, scale = half, scale / 1.4**2
    y -= y.min()
    # a single pixel has no contrast
    return y / y.max().clamp_min(torch.finfo(y.dtype).tiny)


def spatter(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """Dark grey splotches, like mud on the lens; the severity is their opacity."""
    noise = 0.65 + 0.3 * draws.normal(random, *pixels.shape[2:])
    return covered(pixels, severity * splotches(noise, pixels.shape[2] / 28)[:, None])


def covered(pixels: Tensor, cover: Tensor) -> Tensor:
    """Images of which so much of each pixel is mud, of the grey level 63; in single precision."""
    return pixels.float() * (1 - cover) + 63 / 255 * cover


def splotches(noise: Tensor, unit: float) -> Tensor:
    """How much of each pixel is covered, 0 or from 0.8 to 1, in single precision as in MNIST-C.

    Args:
        noise: (n, height, width), normal with mean 0.65 and standard deviation 0.3.
        unit: a pixel of 28, in pixels.
    """
    is_wet = gaussian(noise, unit) > 0.65
    cover = gaussian(is_wet.float(), 1.5 * unit)
    return torch.where(cover < 0.8, 0.0, cover)


def canny_edges(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """White edges of the mean of the channels on black, fading in with the severity.

    Canny's detector with a standard deviation of 1 pixel (of 28), thresholds 0.1 and 0.2.
    """
    sigma = pixels.shape[2] / 28
    edges = [
        canny(grey, sigma, low_threshold=0.1, high_threshold=0.2) for grey in pixels.mean(1).numpy()
    ]
    return torch.lerp(pixels, torch.from_numpy(np.stack(edges))[:, None].to(pixels), severity)
