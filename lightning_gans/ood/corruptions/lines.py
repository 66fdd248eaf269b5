"""Lines across the image, as bright as white."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from lightning_gans.ood.corruptions import draws

# from this vertical distance on a line has no ink, in pixels of 28
_FADE = 2.3

# a place (column, row) in pixels of 28
_Place = tuple[float, float]


def dotted_line(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A straight dotted line from the left edge to the right one; the severity is its opacity.

    Its ends are in random rows from 0 to 26 (of 28); dots and gaps are 2 columns (of 28) wide.
    """
    ends = (27 * draws.uniform(random, 2)).floor()
    return pixels + severity * dots(pixels, ends)


def dots(pixels: Tensor, ends: Tensor) -> Tensor:
    """The ink of dotted lines with given ends, (n, 1, height, width).

    Args:
        pixels: of which the size is taken.
        ends: (n, 2), the rows of the left and the right end, in pixels of 28.
    """
    width = _width(pixels)
    left = torch.arange(pixels.shape[3]) * (28 / pixels.shape[2])
    is_dot = left % 4 >= 2
    lines = [_ink(pixels, (0, start), (width - 1, end)) for start, end in ends.tolist()]
    return torch.stack(lines)[:, None] * is_dot


def zigzag(pixels: Tensor, severity: float, random: list[torch.Generator]) -> Tensor:
    """A zigzag from near the left edge to near the right one; the severity is its opacity.

    It begins in a random row from 0 to 26 (of 28) and ends from 5 rows above that to 4 below.
    """
    start, fall = draws.uniform(random, 2).unbind(1)
    return pixels + severity * zigzags(pixels, (27 * start).floor(), (10 * fall).floor() - 5)


def zigzags(pixels: Tensor, start: Tensor, fall: Tensor) -> Tensor:
    """The ink of zigzags with given ends, (n, 1, height, width).

    Args:
        pixels: of which the size is taken.
        start: (n,), the row of the left end, in pixels of 28.
        fall: (n,), by how many rows the right end is below the left one, likewise.
    """
    ends = zip(start.tolist(), fall.tolist(), strict=True)
    lines = [
        sum(
            (_ink(pixels, *ends) for ends in pairwise(_vertices(row, drop, _width(pixels)))),
            torch.zeros(pixels.shape[2:], dtype=pixels.dtype),
        )
        for row, drop in ends
    ]
    return torch.stack(lines)[:, None]


def _vertices(row: float, drop: float, width: float) -> list[_Place]:
    """The places at which a zigzag turns, with its ends, from left to right; all in pixels of 28.

    They are laid out about a horizontal axis, which is then turned about its left end: from 2 along
    the axis on, every 4 along it, by turns 2 below and 2 above it.
    """
    left, right = 2, width - 3
    angle = math.atan2(drop, right - left) if right > left else 0.0
    length = max(right - left, 0) / math.cos(angle)
    # (along the axis, below it)
    turns = [(2 + 4 * i, 2 * (-1) ** i) for i in range(math.floor((length - 2) / 4) + 1)]
    last, side = turns[-1] if turns else (0, 0)
    # in the files of MNIST-C the last stroke ends short of the axis, by so much
    places = [(0.0, 0.0), *turns, (length, side / 2 / (length - last + 2))]
    c, s = math.cos(angle), math.sin(angle)
    return [(left + c * x - s * y, row + s * x + c * y) for x, y in places]


def _ink(pixels: Tensor, start: _Place, end: _Place) -> Tensor:
    """How white a straight stroke is, (height, width), in [0, 1].

    It falls with the logarithm of the vertical distance d: 1 + log(1 - d / 2.3), in pixels of 28.

    Args:
        pixels: of which the size is taken.
        start: the left end, in pixels of 28. The stroke begins with the column that this is in.
        end: the right end; the column that begins there is not reached.
    """
    height, width = pixels.shape[2:]
    unit = height / 28
    rows = torch.arange(height, dtype=pixels.dtype)[:, None] / unit
    columns = torch.arange(width, dtype=pixels.dtype) / unit
    is_there = (columns >= math.floor(start[0])) & (columns < end[0])
    # an image too narrow for a stroke has none
    slope = (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else 0.0
    distance = (rows - (slope * (columns - start[0]) + start[1])).abs()
    ink = 1 + (1 - distance / _FADE).clamp_min(torch.finfo(pixels.dtype).tiny).log()
    return ink.clamp(0, 1) * is_there


def _width(pixels: Tensor) -> float:
    """The width in pixels of which the height has 28."""
    return 28 * pixels.shape[3] / pixels.shape[2]
