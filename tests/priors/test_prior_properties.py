"""What holds for any prior with any parameters."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.distributions as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_gans.errors import InputError
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
skewed = st.builds(lambda dim, rate: Independent(dim, dist.Exponential(rate)), dims, scales)
bases = st.sampled_from(
    [Normal, Uniform, partial(Normal, std=3.0), partial(Uniform, low=-2, high=2)]
)
traced = st.builds(
    lambda kind, dim, base: kind(dim, base=base),
    st.sampled_from([DynamicScale, FixedScale]),
    dims,
    bases,
)
priors: st.SearchStrategy[Prior] = st.one_of(
    normals, uniforms, laplaces, skewed, traced, st.builds(HalfUniformHalfNormal, dims)
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


@given(priors, levels)
def test_a_quantile_is_that_of_its_own_level(prior: Prior, u: Tensor) -> None:
    z = prior.icdf(u)
    torch.testing.assert_close(
        prior.icdf(prior.cdf(z)), z, rtol=1e-6, atol=1e-6 * math.sqrt(prior.variance)
    )


@given(priors, st.lists(st.floats(-100, 100), min_size=1, max_size=8))
def test_a_probability_rises_from_0_to_1(prior: Prior, values: list[float]) -> None:
    below = prior.cdf(torch.tensor([-math.inf, *sorted(values), math.inf], dtype=torch.float64))
    assert (below.diff() >= 0).all()
    assert below[0] == 0
    assert below[-1] == 1
    outside = [value for value in values if not prior.support[0] <= value <= prior.support[1]]
    assert (prior.log_density(torch.tensor(outside, dtype=torch.float64)) == -math.inf).all()


@given(priors, levels)
def test_the_integral_of_the_quantiles_is_that_of_the_density(prior: Prior, u: Tensor) -> None:
    """J(u) is u times the mean of what lies below the quantile of u."""
    spread = math.sqrt(prior.variance)

    def mean_below(level: float) -> float:
        # torch's quantiles of a level below the rounding of ½ are infinite
        return integral(lambda v: prior.icdf((level * v).clamp(min=1e-16)), torch.device("cpu"))

    for level, found in zip(u.tolist(), prior.quantile_integral(u).tolist(), strict=True):
        assert found == pytest.approx(level * mean_below(level), abs=1e-5 * spread)
    whole = prior.quantile_integral(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    assert whole == pytest.approx([0, prior.mean], abs=1e-5 * spread)


@given(priors, st.lists(st.floats(-10, 10), min_size=1, max_size=8))
def test_the_mean_of_what_is_below_is_the_integral_up_to_its_level(
    prior: Prior, values: list[float]
) -> None:
    spread = math.sqrt(prior.variance)
    z = torch.tensor([-math.inf, *values, math.inf], dtype=torch.float64) * spread + prior.mean
    torch.testing.assert_close(
        prior.partial_mean(z), prior.quantile_integral(prior.cdf(z)), rtol=1e-9, atol=1e-9 * spread
    )
    assert prior.partial_mean(torch.tensor([math.nan], dtype=torch.float64)).isnan()


@given(uniforms | st.just(HalfUniformHalfNormal(1)))
def test_the_ends_of_the_support_belong_to_it_and_nan_stays_nan(prior: Prior) -> None:
    ends = torch.tensor([end for end in prior.support if math.isfinite(end)], dtype=torch.float64)
    assert prior.log_density(ends).isfinite().all()
    beyond = ends + torch.tensor([-1e-6, 1e-6], dtype=torch.float64)[: len(ends)]
    assert (prior.log_density(beyond) == -math.inf).all()
    nothing = torch.tensor(math.nan)
    for function in (prior.log_density, prior.cdf, prior.icdf):
        assert function(nothing).isnan()


def test_a_draw_that_is_rounded_to_the_end_is_likely() -> None:
    prior = Uniform(1, 2, 3)
    highest = prior.icdf(torch.tensor([[1 - 2.0**-24]]))  # the highest that torch.rand returns
    assert highest == 3
    assert prior.log_prob(highest) == 0


@given(priors)
def test_entropy_and_mean_difference_are_integrals(prior: Prior) -> None:
    device, spread = torch.device("cpu"), math.sqrt(prior.variance)
    entropy = integral(lambda u: -prior.log_density(prior.icdf(u)), device)
    assert prior.entropy == pytest.approx(entropy, abs=1e-4)
    difference = integral(lambda u: 2 * u * prior.icdf(u), device) - integral(
        lambda u: 2 * (1 - u) * prior.icdf(u), device
    )
    assert prior.mean_difference == pytest.approx(difference, abs=1e-4 * spread)


@given(traced, st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.integers(1, 5))
def test_a_traced_variance_is_a_running_mean_of_squares(
    prior: DynamicScale | FixedScale, values: list[float], rows: int
) -> None:
    expected = prior.v.double()
    for value in values:
        codes = torch.linspace(value, 1.0, rows * prior.dim).reshape(rows, prior.dim)
        prior.update(codes)
        expected = prior.decay * expected + (1 - prior.decay) * codes.double().square().mean(0)
    torch.testing.assert_close(prior.v.double(), expected, rtol=1e-5, atol=1e-9)
    code = torch.linspace(-1, 2, prior.dim, dtype=torch.float64)[None]
    if not prior.is_normal:
        with pytest.raises(InputError, match="expected a normal prior"):
            prior.negative_log_likelihood(code)
        return
    plain = dist.Normal(torch.zeros(prior.dim).double(), prior.v.double().sqrt()).log_prob(code)
    torch.testing.assert_close(prior.negative_log_likelihood(code), -plain.sum(1))
