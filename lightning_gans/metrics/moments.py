"""Count, mean and scatter of a sample of vectors, in one tensor that merges exactly.

The tensor is symmetric, (F + 1, F + 1), float64::

    [ count   meanᵀ   ]
    [ mean    scatter ]      scatter = Σ (f - mean)(f - mean)ᵀ

One tensor can be sent between processes as a whole, and merges by the formula of Chan et al. 1979.
Plain sums of f fᵀ would lose the digits of a small variance next to a large mean. The empty sample
is all zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor


def empty_moments(num_features: int) -> Tensor:
    """Moments of no vector of width F, (F + 1, F + 1)."""
    return torch.zeros(num_features + 1, num_features + 1, dtype=torch.float64)


def with_vectors(moments: Tensor, features: Tensor) -> Tensor:
    """Moments of the sample with vectors (N, F) added, (F + 1, F + 1); N may be 0."""
    if len(features) == 0:
        return moments
    features = features.double()
    before, added = moments[0, 0], len(features)
    total = before + added
    mean = features.mean(0)
    difference = mean - moments[0, 1:]
    # the difference of the means enters the scatter like one more vector
    rows = torch.cat([features - mean, (before * added / total).sqrt() * difference.unsqueeze(0)])
    updated = moments.clone()
    updated[0, 0] = total
    updated[0, 1:] += difference * (added / total)
    updated[1:, 0] = updated[0, 1:]
    updated[1:, 1:].addmm_(rows.T, rows)
    return updated


def merge_moments(stacked: Tensor) -> Tensor:
    """Moments of the union of K disjoint samples, from (K, F + 1, F + 1) to (F + 1, F + 1)."""
    counts, means = stacked[:, 0, 0], stacked[:, 0, 1:]
    total = counts.sum()
    mean = (counts / total.clamp(min=1)) @ means
    differences = means - mean
    merged = torch.empty_like(stacked[0])
    merged[0, 0] = total
    merged[0, 1:] = merged[1:, 0] = mean
    merged[1:, 1:] = stacked[:, 1:, 1:].sum(0) + differences.T @ (counts.unsqueeze(1) * differences)
    return merged


def count_of(moments: Tensor) -> int:
    """The number of vectors."""
    return int(moments[0, 0].item())


def mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of at least two vectors."""
    return moments[0, 1:], moments[1:, 1:] / (moments[0, 0] - 1)
