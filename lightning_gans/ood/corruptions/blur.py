"""Blur through frosted glass, and along a line."""

from __future__ import annotations

import math

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lightning_gans.ood.corruptions import draws
from lightning_gans.ood.corruptions.eight_bits import truncated

# the largest value of 16 bits, to which motion blur is rounded
_WHITE_16 = 65535


def gaussian(pixels: Tensor, sigma: float, axes: tuple[int, ...] = (-2, -1)) -> Tensor:
    """A Gaussian blur over the given axes, by default the last two; sigma in pixels."""
    smooth = gaussian_filter(pixels.numpy(), sigma, mode="nearest", axes=axes)
    return torch.from_numpy(smooth)


def glass_blur(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A view through frosted glass: blurred, scattered in two passes, blurred again.

    In each pass a pixel is swapped, with chance ½, with the one at an offset of -1 or 0 (of 28) in
    each direction. The blur, with a standard deviation of 0.7 pixels (of 28), runs down the columns
    only: MNIST-C's generator takes the other axis of a grey image for its channels. The severity
    scales the standard deviation and the chance.
    """
    height, width = pixels.shape[2:]
    is_hit, down, right = draws.uniform(random, 3, 2, height, width).unbind(1)
    reach = max(1, round(height / 28))
    offsets = (torch.stack([down, right], dim=1) * 2 * reach).long() - reach
    return through_glass(pixels, 0.7 * severity * height / 28, is_hit < 0.5 * severity, offsets)


def through_glass(pixels: Tensor, sigma: float, is_hit: Tensor, offsets: Tensor) -> Tensor:
    """Glass blur with given draws.

    Args:
        pixels: (n, channels, height, width) in [0, 1].
        sigma: of both blurs, in pixels.
        is_hit: (n, 2, height, width), whether a pass swaps a pixel with another.
        offsets: (n, 2, 2, height, width), of that other pixel: rows and columns, of each pass.
    """
    height, width = pixels.shape[2:]
    # 8 bits, as the generator stores the image in between
    y = truncated(gaussian(pixels, sigma, (-2,))) / torch.tensor(255, dtype=pixels.dtype)
    reach = max(1, round(height / 28))
    # one row for each pixel of an image, in NumPy: a swap is a small operation, and there are many
    rows = y.permute(0, 2, 3, 1).numpy().copy()
    hits, (down, right) = is_hit.numpy(), offsets.unbind(1)
    steps_down, steps_right = down.numpy(), right.numpy()
    for k in range(is_hit.shape[1]):
        # in place and from the end, so that a pixel can move by more than one offset
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                hit = hits[:, k, row, column].nonzero()[0]
                other_row = row + steps_down[hit, k, row, column]
                other_column = column + steps_right[hit, k, row, column]
                here = rows[hit, row, column]
                rows[hit, row, column] = rows[hit, other_row, other_column]
                rows[hit, other_row, other_column] = here
    y = torch.from_numpy(rows).permute(0, 3, 1, 2).contiguous()
    return gaussian(y, sigma, (-2,))


def motion_blur(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A trail along a line at most 45° from the horizontal: half a Gaussian of 3 pixels (of 28).

    The trail is cut off after 20 pixels (of 28); the severity scales the Gaussian.
    """
    angle = (draws.uniform(random) - 0.5) * (math.pi / 2)
    return trail(pixels, 3 * severity * pixels.shape[2] / 28, angle)


def trail(pixels: Tensor, sigma: float, angle: Tensor) -> Tensor:
    """Motion blur in given directions, as ImageMagick computes it at 16 bits.

    A pixel is a weighted mean of those to its right along the line, each the nearest to its place;
    the pixels at the edge are repeated outside.

    Args:
        pixels: (n, channels, height, width) in [0, 1].
        sigma: of the half Gaussian, in pixels.
        angle: (n,), from the horizontal, clockwise, in radians.
    """
    n, _, height, width = pixels.shape
    taps = torch.arange(math.floor(20 * height / 28) + 1, dtype=pixels.dtype)
    # relative to the first tap, so that the image stays sharp as sigma vanishes
    weights = torch.exp(-((taps / max(sigma, 1e-6)) ** 2) / 2)
    weights /= weights.sum()
    image = torch.arange(n)[:, None, None]
    y = torch.zeros_like(pixels)
    for tap, weight in zip(taps, weights, strict=True):
        # to the nearest pixel, halves towards the smaller number
        right, down = ((tap * turn - 0.5).ceil().long() for turn in (angle.cos(), angle.sin()))
        rows = (torch.arange(height) + down[:, None]).clamp(0, height - 1)
        columns = (torch.arange(width) + right[:, None]).clamp(0, width - 1)
        # indices around a slice put the channels last
        moved = pixels[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        y += weight * moved
    return (y * _WHITE_16).round() / _WHITE_16
