"""Random draws for a batch, each image's from its own generator."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(random: list[torch.Generator], *shape: int) -> Tensor:
    """(images, *shape) numbers in [0, 1), double precision."""
    return torch.stack([torch.rand(shape, generator=g, dtype=torch.float64) for g in random])


def normal(random: list[torch.Generator], *shape: int) -> Tensor:
    """(images, *shape) standard normal numbers, double precision."""
    return torch.stack([torch.randn(shape, generator=g, dtype=torch.float64) for g in random])


def poisson(random: list[torch.Generator], rate: Tensor) -> Tensor:
    """Counts of the given mean, of its shape (images, ...)."""
    draws = [torch.poisson(r, generator=g) for r, g in zip(rate, random, strict=True)]
    return torch.stack(draws)
