"""Latents nearer to the centre of their prior than draws are: the truncation trick."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors.fixed import Normal
from lightning_gans.priors.prior import Prior
from lightning_gans.priors.traced import Traced
from lightning_gans.validation import check_shape


def truncate(
    prior: Prior, z: Tensor, bound: float, generator: torch.Generator | None = None
) -> Tensor:
    """Draw elements of latents again that are farther from the mean than a bound.

    The result follows the truncated normal distribution. Elements within the bound stay as they
    are, so that an image of a seed keeps most of its latent. Fewer latents differ much, and more
    are where the generator was trained most: samples gain quality and lose variety.

    Args:
        prior: of the latents; normal, or traced with a normal base.
        z: draws of it, (n, dim).
        bound: how far an element may be from the mean, in standard deviations, positive.
        generator: of the new draws; always as many numbers are drawn, on the CPU.

    Returns:
        (n, dim).

    Raises:
        InputError: for another prior, or a bound that is not positive.

    Source: Brock et al. 2019, section 3.1.
    """
    check_shape(z, (prior.dim,), "latents")
    base = prior
    while isinstance(base, Traced):
        base = base.base
    if not isinstance(base, Normal):
        raise InputError(
            f"truncation is defined for normal latents, and this model's are from a "
            f"{type(base).__name__}; leave it out"
        )
    if not bound > 0:
        raise InputError(f"expected a positive bound of the truncation, got {bound}")
    mean, std = base.mean, base.variance**0.5
    # the new draws by their distribution function: trying until all are within takes for ever if
    # the bound is small. In float64, in which a bound of 8 is not yet infinite
    u = torch.rand(z.shape, generator=generator, dtype=torch.float64)
    within = torch.special.erf(torch.tensor(bound / 2**0.5, dtype=torch.float64))
    drawn = torch.special.ndtri(0.5 + (u - 0.5) * within).clamp(-bound, bound)
    is_beyond = (z - mean).abs() > bound * std
    return torch.where(is_beyond, (mean + std * drawn).to(z.device, z.dtype), z)
