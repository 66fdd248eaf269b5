"""DiffAugment written out pixel by pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def plainly(x: Tensor, u: Tensor) -> Tensor:
    """The policy color,translation,cutout of the paper, for one image (c, h, w) and 7 numbers."""
    c, h, w = x.shape
    brightness, saturation, contrast, *places = u.double().tolist()
    x = x + (brightness - 0.5)
    grey = x.mean(0)
    x = torch.stack([(x[i] - grey) * (saturation * 2) + grey for i in range(c)])
    x = (x - x.mean()) * (contrast + 0.5) + x.mean()
    # an eighth of the side in each direction, and half of it, to the nearest pixel
    far = [int(side / 8 + 0.5) for side in (h, w)]
    down, right = (math.floor(p * (2 * f + 1)) - f for p, f in zip(places[:2], far, strict=True))
    size = [int(side / 2 + 0.5) for side in (h, w)]
    middle = [
        math.floor(p * (side + (1 - s % 2)))
        for p, side, s in zip(places[2:], (h, w), size, strict=True)
    ]
    rows = []
    for i in range(h):
        row = []
        for j in range(w):
            cut = all(
                -(s // 2) <= k - m < s - s // 2
                for k, m, s in zip((i, j), middle, size, strict=True)
            )
            inside = 0 <= i - down < h and 0 <= j - right < w and not cut
            row.append(x[:, i - down, j - right] if inside else torch.zeros_like(x[:, 0, 0]))
        rows.append(torch.stack(row, 1))
    return torch.stack(rows, 1)
