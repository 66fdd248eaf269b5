"""Distances that are defined for a normal prior alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.distances.checks import as_codes
from lightning_gans.errors import InputError
from lightning_gans.priors import Prior, normal_element


def bhattacharyya(z: Tensor, prior: Prior) -> Tensor:
    """-log Σ exp(-tᵢ²/4), t = (z - mean)/std: a code's elements as points of equal mass.

    As Cho's first paper computed its Bhattacharyya distance. It is a density's square root at the
    elements, so it is least where every element is the mean; it can be negative.

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
    """Bhattacharyya distance between the normal of a code's mean m and variance s², and the prior.

    ¼ (m - μ)²/(s² + σ²) + ½ ln((s² + σ²)/(2sσ)); s² is the mean square deviation. Towards a code
    of equal elements it grows without bound, slowly; at one it is held at a finite number.

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
    both = variance + std**2
    apart = (values.mean(1) - mean).square() / both / 4
    return apart + (both.log() - variance.log() / 2 - math.log(2 * std)) / 2


def _normal(name: str, prior: Prior) -> tuple[float, float]:
    found = normal_element(prior)
    if found is None:
        raise InputError(
            f"{name} is defined for a normal prior, got {type(prior).__name__}; wasserstein and "
            "energy take any prior of identical elements"
        )
    return found
