"""Latents as embeddings: whether what two elements show adds up in one image."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.ranges import PositiveFloat, PositiveInt, Seed, Width, checked
from lightning_gans.rng import stream

# images in memory at once
BATCH = 250


class UnitSums(NamedTuple):
    """How images of sums of two unit vectors compare with those of the vectors.

    Distances are root mean squares over the pixels, which are in [-1, 1].

    Attributes:
        to_parts: mean distance of the image of a sum from those of its two vectors.
        to_others: mean distance from those of all other vectors.
        explained: 1 - Σ‖change - sum of both changes‖² / Σ‖change‖², where changes are from the
            image of the latent 0. It is 1 if changes add up, as for an affine generator; an image
            that keeps nothing of the vectors can have less than 0.
    """

    to_parts: float
    to_others: float
    explained: float


@checked
@torch.no_grad()
def unit_sums(
    generator: nn.Module,
    dim: Width,
    pairs: PositiveInt = 200,
    norm: PositiveFloat = 1.0,
    seed: Seed = 0,
) -> UnitSums:
    """Compare images of sums of unit vectors with images of the vectors (Egan 2018, section 5.1).

    Args:
        generator: latents (n, dim) to images (n, *shape), in evaluation mode.
        dim: of the latents, at least 3.
        pairs: how many are drawn of all pairs of elements; all of them if there are fewer.
        norm: of the vectors; 1 in the paper.
        seed: of the pairs.

    Raises:
        InputError: for fewer than 3 elements, of which a pair leaves no other.
    """
    if dim < 3:
        raise InputError(f"expected latents of at least 3 elements, got {dim}")
    every = torch.tensor([*combinations(range(dim), 2)])
    chosen = every[torch.randperm(len(every), generator=stream("unit sums", seed))[:pairs]]
    units = norm * torch.eye(dim)
    zero = images(generator, torch.zeros(1, dim))
    parts = images(generator, units) - zero
    sums = images(generator, units[chosen[:, 0]] + units[chosen[:, 1]]) - zero
    distances = torch.cdist(sums, parts) / sums.shape[1] ** 0.5
    own = torch.zeros_like(distances, dtype=torch.bool).scatter_(1, chosen, True)
    added = parts[chosen[:, 0]] + parts[chosen[:, 1]]
    left = (sums - added).square().sum() / sums.square().sum()
    return UnitSums(float(distances[own].mean()), float(distances[~own].mean()), 1 - float(left))


def images(generator: nn.Module, z: Tensor) -> Tensor:
    """The images of latents (n, dim), as rows in float64."""
    made = [generator(part).flatten(1).double() for part in torch.split(z, BATCH)]
    return torch.cat(made)
