"""Strokes of a known slant and thickness."""

from __future__ import annotations

import torch
from torch import Tensor


def bar(width: int, height: int, shear: int = 0) -> Tensor:
    """A bar (1, 1, 40, 40), whose rows move to the right by ``shear`` for each row upwards."""
    ink = torch.zeros(1, 1, 40, 40)
    for row in range(height):
        left = 12 + shear * (height // 2 - row)
        ink[0, 0, 8 + row, left : left + width] = 1
    return ink
