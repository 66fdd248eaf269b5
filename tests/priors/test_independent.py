"""Priors of torch's distributions, and what every prior offers to distances, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.distributions as dist
from scipy import integrate, stats
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
    normal_element,
)


class Logistic(Prior):
    """A prior of a user's own, with no more than the methods that it must have."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.icdf(torch.rand(n, self.dim, **self._draw(generator)))

    def log_density(self, z: Tensor) -> Tensor:
        return -z - 2 * (1 + (-z).exp()).log()

    def cdf(self, z: Tensor) -> Tensor:
        return z.sigmoid()

    def icdf(self, u: Tensor) -> Tensor:
        return u.logit()

    @property
    def mean(self) -> float:
        return 0.0

    @property
    def variance(self) -> float:
        return math.pi**2 / 3

    @property
    def entropy(self) -> float:
        return 2.0


PRIORS: dict[str, tuple[Prior, float]] = {
    "normal": (Normal(3), 2 / math.sqrt(math.pi)),
    "moved": (Normal(3, 2, 3), 6 / math.sqrt(math.pi)),
    "uniform": (Uniform(3), 2 / 3),
    "wide": (Uniform(3, -0.5, 3), 3.5 / 3),
    "half": (HalfUniformHalfNormal(3), math.nan),
    "dynamic": (DynamicScale(3, base=lambda d: Uniform(d, -2, 2)), 4 / 3),
    "fixed": (FixedScale(3), 2 / math.sqrt(math.pi)),
    "laplace": (Independent(3, dist.Laplace(0.5, 2.0)), 3.0),
    "exponential": (Independent(3, dist.Exponential(4.0)), 0.25),
    "weibull": (Independent(3, dist.Weibull(2.0, 1.0)), 2.0),
    "own": (Logistic(3), 2.0),
}


@pytest.mark.parametrize("name", PRIORS)
def test_quantile_integral_is_that_of_the_quantiles(name: str) -> None:
    prior, _ = PRIORS[name]
    u = torch.tensor([[0.0, 1e-6, 0.03], [0.4, 0.5, 0.501], [0.9, 1 - 1e-7, 1]]).double()
    found = prior.quantile_integral(u)

    def quantile(p: float) -> float:
        return prior.icdf(torch.tensor(p, dtype=torch.float64)).item()

    for p, value in zip(u.flatten().tolist(), found.flatten().tolist(), strict=True):
        # over nothing, older versions of scipy have NaN if a function is infinite there
        expected = integrate.quad(quantile, 0, min(p, 0.5), epsabs=1e-10, limit=200)[0] if p else 0
        if p > 0.5:
            expected += integrate.quad(quantile, 0.5, p, epsabs=1e-10, limit=200)[0]
        assert value == pytest.approx(expected, abs=1e-7)
    assert found[2, 2].item() == pytest.approx(prior.mean, abs=1e-7)
    assert found[0, 0].item() == pytest.approx(0, abs=1e-12)
    single = prior.quantile_integral(u.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, atol=1e-5, rtol=0)
    nowhere = torch.tensor(math.nan)
    assert prior.quantile_integral(nowhere).isnan()


@pytest.mark.parametrize("name", PRIORS)
def test_mean_difference_is_that_of_two_elements(name: str) -> None:
    prior, known = PRIORS[name]
    points = prior.icdf((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)
    # of sorted points, all pairs' differences: 2/n² Σ (2i - n - 1) a₍ᵢ₎
    weights = torch.arange(1, 100_001, dtype=torch.float64) * 2 - 100_001
    pairs = 2 * (weights * points).sum().item() / 100_000**2
    assert prior.mean_difference == pytest.approx(pairs, abs=2e-4)
    if not math.isnan(known):
        assert prior.mean_difference == pytest.approx(known, abs=1e-9)


def test_half_and_halfs_mean_difference_is_integrated_too() -> None:
    prior = HalfUniformHalfNormal(1)

    def integrand(z: float) -> float:
        below = prior.cdf(torch.tensor(z, dtype=torch.float64)).item()
        return 2 * below * (1 - below)

    expected = integrate.quad(integrand, -1, 0)[0] + integrate.quad(integrand, 0, 12)[0]
    assert prior.mean_difference == pytest.approx(expected, abs=1e-9)


def test_supports() -> None:
    ends = {name: prior.support for name, (prior, _) in PRIORS.items()}
    infinite = (-math.inf, math.inf)
    assert ends == {
        "normal": infinite,
        "moved": infinite,
        "uniform": (-1, 1),
        "wide": (-0.5, 3),
        "half": (-1, math.inf),
        "dynamic": (-2, 2),
        "fixed": infinite,
        "laplace": infinite,
        "exponential": (0, math.inf),
        "weibull": (0, math.inf),
        "own": infinite,
    }
    assert all(prior.identical for prior, _ in PRIORS.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("distribution", "element"),
    [
        (dist.Laplace(0.5, 3.0), stats.laplace(0.5, 3)),
        (dist.Laplace(torch.tensor(0.5).double(), 3.0), stats.laplace(0.5, 3)),
        (dist.Exponential(3.0), stats.expon(0, 1 / 3)),
        (dist.LogNormal(0.0, 0.5), stats.lognorm(0.5)),
        (dist.Gumbel(0.5, 2.0), stats.gumbel_r(0.5, 2)),
        (dist.Uniform(-1.0, 2.0), stats.uniform(-1, 3)),
    ],
    ids=["laplace", "double", "exponential", "lognormal", "gumbel", "uniform"],
)
def test_is_scipys(
    distribution: dist.Distribution, element: stats.rv_continuous, dtype: torch.dtype
) -> None:
    prior = Independent(4, distribution)
    z = torch.tensor([[-2, -0.5, 0, 0.25], [0.5, 1, 2.5, 4]], dtype=dtype)
    u = torch.tensor([0.01, 0.3, 0.5, 0.8, 0.99], dtype=dtype)
    # torch's Gumbel is made of a uniform distribution whose ends are rounded to float32
    exact = dtype == torch.float64 and not isinstance(distribution, dist.Gumbel)
    rtol = 1e-9 if exact else 2e-5
    assert prior.cdf(z).dtype == prior.icdf(u).dtype == prior.log_prob(z).dtype == dtype
    np.testing.assert_allclose(prior.cdf(z), element.cdf(z.numpy()), rtol=rtol)
    np.testing.assert_allclose(prior.icdf(u), element.ppf(u.numpy()), rtol=rtol)
    np.testing.assert_allclose(prior.log_density(z), element.logpdf(z.numpy()), rtol=rtol)
    moments = [prior.mean, prior.variance, prior.entropy]
    np.testing.assert_allclose(moments, [element.mean(), element.var(), element.entropy()], 1e-5)


def test_draws_follow_the_distribution_and_the_generator() -> None:
    prior = Independent(50, dist.Laplace(0.5, 2.0))
    state = torch.get_rng_state()
    z = prior.sample(400, torch.Generator().manual_seed(0))
    assert torch.equal(z, prior.sample(400, torch.Generator().manual_seed(0)))
    assert not torch.equal(z, prior.sample(400, torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), state)
    assert z.shape == (400, 50)
    assert (z.dtype, prior.double().sample(1).dtype) == (torch.float32, torch.float64)
    test = stats.kstest(z.flatten().numpy(), stats.laplace(0.5, 2).cdf)
    assert test.pvalue > 0.01
    assert np.abs(np.corrcoef(z.T) - np.eye(50)).max() < 0.25


def test_a_uniform_number_of_zero_is_no_infinite_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda size, generator, **kind: torch.zeros(size, **kind))
    drawn = Independent(2, dist.Normal(0.0, 1.0)).sample(1, torch.Generator())
    torch.testing.assert_close(drawn, torch.full((1, 2), float(stats.norm.ppf(2**-53))))


def test_elements_that_differ() -> None:
    scales = torch.tensor([0.5, 1.0, 4.0])
    prior = Independent(3, dist.Laplace(torch.zeros(3), scales))
    assert not prior.identical
    z = torch.tensor([[0.3, -1.0, 2.0], [0.0, 1.0, -7.0]], dtype=torch.float64)
    elements = [stats.laplace(0, scale) for scale in scales.tolist()]
    for i, element in enumerate(elements):
        np.testing.assert_allclose(prior.cdf(z)[:, i], element.cdf(z[:, i]), rtol=1e-12)
    expected = sum(element.logpdf(z[:, i]) for i, element in enumerate(elements))
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-12)
    drawn = prior.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.abs().mean(0), scales, rtol=0.03, atol=0)
    for refused in (
        lambda: prior.mean,
        lambda: prior.variance,
        lambda: prior.entropy,
        lambda: prior.support,
        lambda: prior.mean_difference,
        lambda: prior.quantile_integral(torch.ones(3)),
    ):
        with pytest.raises(InputError, match="the elements of this prior differ"):
            refused()
    with pytest.raises(InputError, match=r"expected \(..., 3\), got \(7,\)"):
        prior.cdf(torch.zeros(7))


def test_a_missing_function_is_named_where_it_is_needed() -> None:
    gamma = Independent(2, dist.Gamma(2.0, 1.0))
    one = torch.ones(1, 2)
    np.testing.assert_allclose(gamma.cdf(one), stats.gamma(2).cdf(one), rtol=1e-5)
    assert gamma.mean == 2
    assert gamma.support == (0, math.inf)
    for missing in (
        lambda: gamma.icdf(one),
        lambda: gamma.sample(3),
        lambda: gamma.quantile_integral(one),
        lambda: gamma.mean_difference,
    ):
        with pytest.raises(InputError, match="torch's Gamma has no icdf, which is needed here"):
            missing()
    with pytest.raises(InputError, match="torch's Beta has no cdf"):
        Independent(2, dist.Beta(2.0, 2.0)).cdf(one)
    with pytest.raises(InputError, match="Cauchy has no finite mean"):
        Independent(2, dist.Cauchy(0.0, 1.0)).quantile_integral(one)
    moved = dist.TransformedDistribution(
        dist.Uniform(0.0, 1.0), [dist.AffineTransform(loc=1.0, scale=2.0)]
    )
    with pytest.raises(InputError, match="TransformedDistribution has no mean"):
        _ = Independent(2, moved).mean


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"3 independent scalars, got Laplace of batch shape \(2,"):
        Independent(3, dist.Laplace(torch.zeros(2), torch.ones(2)))
    with pytest.raises(InputError, match=r"event shape \(3,\)"):
        Independent(3, dist.MultivariateNormal(torch.zeros(3), torch.eye(3)))
    with pytest.raises(InputError, match="continuous distribution, got Poisson"):
        Independent(3, dist.Poisson(2.0))


def test_what_is_normal() -> None:
    assert normal_element(Normal(2, 0.5, 3)) == (0.5, 3)
    assert normal_element(DynamicScale(2, base=lambda d: Normal(d, 0, 2))) == (0, 2)
    assert normal_element(Independent(2, dist.Normal(1.0, 0.25))) == (1, 0.25)
    differ = dist.Normal(torch.zeros(2), torch.ones(2))
    for prior in (Independent(2, differ), Independent(2, dist.LogNormal(0.0, 1.0)), Uniform(2)):
        assert normal_element(prior) is None
    assert normal_element(DynamicScale(2, base=Uniform)) is None
