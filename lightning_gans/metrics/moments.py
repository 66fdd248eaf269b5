"""Count, mean and scatter of a sample of vectors, kept in one tensor that merges exactly.

The tensor is symmetric, (F + 1, F + 1), float64::

    [ count   meanᵀ   ]
    [ mean    scatter ]      scatter = Σ (f - mean)(f - mean)ᵀ

Being one tensor, it travels between processes whole and merges by the formula of Chan et al.
1979. Plain sums of f fᵀ would lose the digits of a small variance under a large mean. All zeros
is the empty sample.
"""

from __future__ import annotations

import torch
from torch import Tensor


def empty_moments(num_features: int) -> Tensor:
    """Moments of no vector of width F, (F + 1, F + 1)."""
    return torch.zeros(num_features + 1, num_features + 1, dtype=torch.float64)


def with_vectors(moments: Tensor, features: Tensor) -> Tensor:
    """Moments of the sample and of vectors (N, F) besides, (F + 1, F + 1); N may be 0."""
    if len(features) == 0:
        return moments
    features = features.double()
    before, added = moments[0, 0], len(features)
    total = before + added
    mean = features.mean(0)
    apart = mean - moments[0, 1:]
    # the way between the means enters the scatter as one more vector would
    rows = torch.cat([features - mean, (before * added / total).sqrt() * apart.unsqueeze(0)])
    both = moments.clone()
    both[0, 0] = total
    both[0, 1:] += apart * (added / total)
    both[1:, 0] = both[0, 1:]
    both[1:, 1:].addmm_(rows.T, rows)
    return both


def merge_moments(stacked: Tensor) -> Tensor:
    """Moments of the union of K disjoint samples, from (K, F + 1, F + 1) to (F + 1, F + 1)."""
    counts, means = stacked[:, 0, 0], stacked[:, 0, 1:]
    total = counts.sum()
    mean = (counts / total.clamp(min=1)) @ means
    apart = means - mean
    merged = torch.empty_like(stacked[0])
    merged[0, 0] = total
    merged[0, 1:] = merged[1:, 0] = mean
    merged[1:, 1:] = stacked[:, 1:, 1:].sum(0) + apart.T @ (counts.unsqueeze(1) * apart)
    return merged


def count_of(moments: Tensor) -> int:
    """How many vectors the moments are of."""
    return int(moments[0, 0].item())


def mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of at least two vectors."""
    return moments[0, 1:], moments[1:, 1:] / (moments[0, 0] - 1)
