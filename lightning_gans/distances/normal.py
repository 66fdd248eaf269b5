"""Distances that are only defined for a normal prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.distances.checks import as_codes
from lightning_gans.errors import InputError
from lightning_gans.priors import Prior, normal_element


def bhattacharyya(z: Tensor, prior: Prior) -> Tensor:
    """-log Σ exp(-tᵢ²/4), t = (z - mean)/std: a code's elements as points of equal mass.

    The Bhattacharyya distance as computed in (Cho, short paper). It sums square roots of the
    density at the elements, so the minimum is where every element is the mean; it can be negative.

    Args:
        z: codes, (n, L).
        prior: normal.

    Returns:
        (n,).

    Raises:
        InputError: for another shape, or a prior that is not normal.
    """
    mean, std = _normal("bhattacharyya", prior)
    t = (as_codes(z) - mean) / std
    return -torch.logsumexp(t.square() / -4, 1)


def bhattacharyya_normal(z: Tensor, prior: Prior) -> Tensor:
    """Bhattacharyya distance of the prior from a normal with a code's mean m and variance s².

    ¼ (m - μ)²/(s² + σ²) + ½ ln((s² + σ²)/(2sσ)); s² is the mean squared deviation. It grows
    slowly without bound as the elements of a code approach each other; for equal elements it is
    kept finite.

    Args:
        z: codes, (n, L).
        prior: normal.

    Returns:
        (n,), at least 0.

    Raises:
        InputError: for another shape, or a prior that is not normal.
    """
    mean, std = _normal("bhattacharyya_normal", prior)
    values = as_codes(z)
    variance = values.var(1, correction=0).clamp(min=torch.finfo(values.dtype).tiny)
    total = variance + std**2
    offset = (values.mean(1) - mean).square() / total / 4
    return offset + (total.log() - variance.log() / 2 - math.log(2 * std)) / 2


def _normal(name: str, prior: Prior) -> tuple[float, float]:
    found = normal_element(prior)
    if found is None:
        raise InputError(
            f"{name} is defined for a normal prior, got {type(prior).__name__}; wasserstein and "
            "energy take any prior with identical elements"
        )
    return found
