"""The Fréchet distance between two samples of features."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.moments import (
    count_of,
    empty_moments,
    mean_and_covariance,
    merge_moments,
    with_vectors,
)
from lightning_gans.metrics.two_sample import TooFewSamples, TwoSampleMetric, check_features
from lightning_gans.metrics.work_sharing import Team
from lightning_gans.ranges import Width, checked


class FrechetDistance(TwoSampleMetric):
    """Squared Fréchet distance between the Gaussians with the moments of two samples.

    |m₁ - m₂|² + tr S₁ + tr S₂ - 2 tr (S₁^½ S₂ S₁^½)^½, all in float64, with the unbiased
    covariances (divided by N - 1). With Inception features it is the FID. It is biased: it falls as
    the number of samples grows, so report that number with the value.

    Source: Heusel et al. 2017, Eq. 6.

    Args:
        num_features: width F of the features.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it is
            collected once in a run.

    Raises:
        ValueError: if num_features is not positive.
    """

    higher_is_better = False
    statistic = "moments"

    real: Tensor
    fake: Tensor

    @checked
    def __init__(self, num_features: Width, reset_real: bool = True) -> None:
        super().__init__()
        self.num_features = num_features
        self.reset_real = reset_real
        self.add_state("real", empty_moments(num_features), dist_reduce_fx=merge_moments)
        self.add_state("fake", empty_moments(num_features), dist_reduce_fx=merge_moments)

    def update(self, features: Tensor, real: bool) -> None:
        """Add a batch to one of the two samples.

        Args:
            features: (N, F), finite.
            real: whether they are of real images.

        Raises:
            ValueError: if the shape is wrong or a value is not finite.
        """
        check_features(features, self.num_features)
        seen = self.real if real else self.fake
        # moved to the state's device before the cast: not every device has float64
        both = with_vectors(seen, features.detach().to(seen.device))
        if real:
            self.real = both
        else:
            self.fake = both

    def compute(self) -> Tensor:
        """The distance, float64 scalar, not negative.

        Raises:
            TooFewSamples: if either sample has fewer than two vectors.
        """
        counts = count_of(self.real), count_of(self.fake)
        if min(counts) < 2:
            raise TooFewSamples(
                f"the Fréchet distance needs 2 real and 2 fake samples, got {counts[0]} real"
                f" and {counts[1]} fake"
            )
        m1, s1 = mean_and_covariance(self.real)
        m2, s2 = mean_and_covariance(self.fake)
        distance = (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * _trace_of_root(s1, s2)
        return distance.clamp(min=0)  # rounding can make it negative for equal samples

    def real_statistic(self) -> Tensor:
        return merge_moments(Team.of_all().stack(self.real))

    def load_real(self, statistic: Tensor) -> None:
        self.real = statistic.to(self.real.device)
        self._computed = None


def _trace_of_root(s1: Tensor, s2: Tensor) -> Tensor:
    # (S₁ S₂)^½ has the trace of (S₁^½ S₂ S₁^½)^½, which is symmetric: its eigenvalues are real, and
    # negative ones are rounding errors
    values, vectors = torch.linalg.eigh(s1)
    half = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product: Tensor = torch.linalg.eigvalsh(half @ s2 @ half)
    return product.clamp(min=0).sqrt().sum()
