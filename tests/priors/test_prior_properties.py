"""What holds for any prior with any parameters."""

from __future__ import annotations

import math

import torch
import torch.distributions as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_gans.priors import (
    DynamicScale,
    FixedScale,
    HalfUniformHalfNormal,
    Independent,
    Normal,
    Prior,
    Uniform,
)
from lightning_gans.priors.quadrature import integral

means = st.floats(-5, 5)
scales = st.floats(0.05, 20)
dims = st.integers(1, 4)
normals = st.builds(Normal, dims, means, scales)
uniforms = st.builds(lambda dim, low, width: Uniform(dim, low, low + width), dims, means, scales)
laplaces = st.builds(lambda dim, m, s: Independent(dim, dist.Laplace(m, s)), dims, means, scales)
traced = st.builds(lambda kind, dim: kind(dim), st.sampled_from([DynamicScale, FixedScale]), dims)
priors: st.SearchStrategy[Prior] = st.one_of(
    normals, uniforms, laplaces, traced, st.builds(HalfUniformHalfNormal, dims)
)
# not so near 0 and 1 that a quantile loses its digits
levels = st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=8).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(priors, levels)
def test_a_level_is_the_probability_below_its_quantile(prior: Prior, u: Tensor) -> None:
    torch.testing.assert_close(prior.cdf(prior.icdf(u)), u, rtol=1e-6, atol=1e-9)


@given(priors, levels)
def test_quantiles_rise_and_stay_within_the_support(prior: Prior, u: Tensor) -> None:
    quantiles = prior.icdf(u.sort().values)
    assert (quantiles.diff() >= 0).all()
    low, high = prior.support
    assert ((quantiles >= low) & (quantiles <= high)).all()


@given(priors)
def test_moments_are_those_of_the_quantiles(prior: Prior) -> None:
    device = torch.device("cpu")
    spread = math.sqrt(prior.variance)
    mean = integral(prior.icdf, device)
    second = integral(lambda u: (prior.icdf(u) - prior.mean).square(), device)
    assert abs(mean - prior.mean) < 1e-5 * spread
    assert abs(second / prior.variance - 1) < 1e-3


@given(priors, levels)
def test_the_density_is_the_slope_of_the_probability(prior: Prior, u: Tensor) -> None:
    step = 1e-5 * math.sqrt(prior.variance)
    z = prior.icdf(u.clamp(0.01, 0.99))
    # HalfUniformHalfNormal and Laplace have corners, in which two slopes meet
    left = (prior.cdf(z) - prior.cdf(z - step)) / step
    right = (prior.cdf(z + step) - prior.cdf(z)) / step
    density = prior.log_density(z).exp()
    margin = 1e-3 / math.sqrt(prior.variance)
    assert (density >= torch.minimum(left, right) - margin).all()
    assert (density <= torch.maximum(left, right) + margin).all()


@given(priors, st.integers(1, 5), st.integers(0, 99))
def test_whole_latents_are_as_likely_as_their_elements(prior: Prior, n: int, seed: int) -> None:
    z = prior.sample(n, torch.Generator().manual_seed(seed))
    assert z.shape == (n, prior.dim)
    torch.testing.assert_close(prior.log_prob(z), prior.log_density(z).sum(1))
    assert torch.equal(z, prior.sample(n, torch.Generator().manual_seed(seed)))


@given(st.integers(1, 6), st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_a_dynamic_scale_keeps_the_sum_of_squares(dim: int, values: list[float]) -> None:
    prior = DynamicScale(dim)
    for value in values:
        prior.update(torch.linspace(value, 1.0, 2 * dim).reshape(2, dim))
    assert math.isclose(float(prior.scale().square().sum()), dim, rel_tol=1e-5)
