"""Recoveries made by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.inversion.recovery import Recovery


def recovery_of(codes: Tensor, images: Tensor, diverged: Tensor | None = None) -> Recovery:
    """The recovery with the given codes and images, whose losses are 0."""
    n = len(codes)
    return Recovery(
        codes=codes,
        images=images,
        losses=torch.zeros(n),
        reconstruction=torch.zeros(n),
        trace=torch.zeros(n, 3),
        restart=torch.zeros(n, dtype=torch.long),
        diverged=torch.zeros(n, dtype=torch.long) if diverged is None else diverged,
        indices=torch.arange(n),
        seconds=6.0,
    )
