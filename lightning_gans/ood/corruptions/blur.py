"""Blur through frosted glass, and along a line."""

from __future__ import annotations

import math

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from lightning_gans.ood.corruptions import draws


def gaussian(pixels: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur over the last two dimensions; sigma in pixels."""
    smooth = gaussian_filter(pixels.numpy(), sigma, mode="nearest", axes=(-2, -1))
    return torch.from_numpy(smooth)


def glass_blur(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A view through frosted glass: blurred, scattered in two passes, blurred again.

    The blur has a standard deviation of 0.7 pixels (of 28); each pass replaces a pixel by one at
    most one pixel (of 28) away. The severity scales the standard deviation and the share of pixels
    that are scattered.
    """
    n, channels, height, width = pixels.shape
    sigma = 0.7 * severity * height / 28
    y = gaussian(pixels, sigma).reshape(n, channels, height * width)
    for source in _scattered(height, width, severity, random):
        y = y.gather(2, source[:, None].expand_as(y))
    return gaussian(y.reshape(pixels.shape), sigma)


def _scattered(
    height: int, width: int, share: float, random: list[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """For each of two passes, the index of the source of each pixel, (n, height · width)."""
    reach = max(1, round(height / 28))
    down, right, chance = draws.uniform(random, 3, 2, height, width).unbind(1)
    here = torch.arange(height)[:, None], torch.arange(width)
    row = here[0] + ((2 * reach + 1) * down).long() - reach
    column = here[1] + ((2 * reach + 1) * right).long() - reach
    row = torch.where(chance < share, row.clamp(0, height - 1), here[0])
    column = torch.where(chance < share, column.clamp(0, width - 1), here[1])
    source = (row * width + column).flatten(2)
    return source[:, 0], source[:, 1]


def motion_blur(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A trail along a line at most 45° from the horizontal: half a Gaussian of 3 pixels (of 28).

    The trail is cut off after 10 pixels (of 28); the severity scales the Gaussian.
    """
    height, width = pixels.shape[2:]
    unit = height / 28
    sigma = 3 * severity * unit
    taps = torch.arange(math.floor(10 * unit) + 1, dtype=pixels.dtype)
    # relative to the first tap, so that the image stays sharp as sigma vanishes
    weights = torch.exp(-((taps / max(sigma, 1e-6)) ** 2) / 2)
    weights /= weights.sum()
    angle = (draws.uniform(random) - 0.5) * (math.pi / 2)
    direction = torch.stack([angle.cos(), angle.sin()], dim=-1)
    # positions (column, row) in pixels from the centre of the top left pixel
    rows, columns = torch.arange(height), torch.arange(width)
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).to(pixels)
    # grid_sample takes positions from -1 to 1; a side of one pixel has only one
    span = torch.tensor([max(width - 1, 1), max(height - 1, 1)]).to(pixels)
    y = torch.zeros_like(pixels)
    for tap, weight in zip(taps, weights, strict=True):
        source = places - tap * direction[:, None, None]
        grid = 2 * source / span - 1
        y += weight * functional.grid_sample(
            pixels, grid, padding_mode="border", align_corners=True
        )
    return y
