"""Pixels of 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor


def truncated(pixels: Tensor) -> Tensor:
    """Pixels as bytes 0..255, clipped to [0, 1] and truncated, as in the files of MNIST-C."""
    return (pixels.clamp(0, 1) * 255).to(torch.uint8)
