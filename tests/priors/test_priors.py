"""Priors against scipy, and the dynamic scale against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from lightning_gans.priors import DynamicScale, HalfUniformHalfNormal, Normal, Prior, Uniform

PRIORS = [
    (Normal(4), stats.norm()),
    (Normal(4, mean=0.7, std=1.9), stats.norm(0.7, 1.9)),
    (Uniform(4), stats.uniform(-1, 2)),
    (Uniform(4, low=-math.sqrt(3), high=math.sqrt(3)), stats.uniform(-(3**0.5), 2 * 3**0.5)),
    (DynamicScale(4), stats.norm()),
]
IDS = ["normal", "shifted", "uniform", "wide", "dynamic"]


@pytest.mark.parametrize(("prior", "element"), PRIORS, ids=IDS)
def test_is_scipys(prior: Prior, element: stats.rv_continuous) -> None:
    z = torch.linspace(-0.97, 0.96, 24, dtype=torch.float64).view(6, 4)
    u = torch.linspace(0.001, 0.999, 21, dtype=torch.float64)
    np.testing.assert_allclose(prior.log_prob(z), element.logpdf(z.numpy()).sum(1), rtol=1e-12)
    np.testing.assert_allclose(prior.cdf(z), element.cdf(z.numpy()), rtol=1e-12)
    np.testing.assert_allclose(prior.icdf(u), element.ppf(u.numpy()), rtol=1e-9)
    moments = [prior.mean, prior.variance, prior.entropy]
    np.testing.assert_allclose(moments, [element.mean(), element.var(), element.entropy()], 1e-9)


def test_half_and_half_is_the_mixture() -> None:
    prior = HalfUniformHalfNormal(3)
    grid = torch.linspace(-1.45, 4.05, 23, dtype=torch.float64)
    points = grid.numpy()
    density = 0.5 * stats.uniform(-1, 1).pdf(points) + 0.5 * stats.halfnorm.pdf(points)
    below = 0.5 * stats.uniform(-1, 1).cdf(points) + 0.5 * stats.halfnorm.cdf(points)
    np.testing.assert_allclose(prior.log_density(grid).exp(), density, rtol=1e-12)
    np.testing.assert_allclose(prior.cdf(grid), below, rtol=1e-12)
    u = torch.linspace(0.001, 0.999, 33, dtype=torch.float64)
    np.testing.assert_allclose(prior.cdf(prior.icdf(u)), u, rtol=1e-9)

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            log_density = prior.log_density(torch.tensor(z, dtype=torch.float64))
            return z**power * math.exp(float(log_density))

        return float(integrate.quad(integrand, -1, 9, points=[0])[0])

    assert moment(0) == pytest.approx(1)
    assert prior.mean == pytest.approx(moment(1), abs=1e-8)
    assert prior.variance == pytest.approx(moment(2) - moment(1) ** 2, abs=1e-8)
    entropy = (
        -0.5 * math.log(0.5)
        + integrate.quad(lambda z: -stats.norm.pdf(z) * stats.norm.logpdf(z), 0, 9)[0]
    )
    assert prior.entropy == pytest.approx(entropy, abs=1e-8)


@pytest.mark.parametrize(
    "prior", [Normal(50, 0.3, 2), Uniform(50, 0, 3), HalfUniformHalfNormal(50)]
)
def test_draws_follow_the_distribution(prior: Prior) -> None:
    z = prior.sample(400, torch.Generator().manual_seed(0))
    assert z.shape == (400, 50)
    draws = z.double().flatten().numpy()
    # what follows a distribution is uniform under its own cdf
    result = stats.kstest(prior.cdf(torch.from_numpy(draws)).numpy(), "uniform")
    assert result.pvalue > 0.01
    correlation = np.corrcoef(z.T)
    assert np.abs(correlation - np.eye(50)).max() < 0.25


@pytest.mark.parametrize("prior", [p for p, _ in PRIORS], ids=IDS)
def test_draws_come_from_the_generator_given(prior: Prior) -> None:
    state = torch.get_rng_state()
    first = prior.sample(3, torch.Generator().manual_seed(7))
    again = prior.sample(3, torch.Generator().manual_seed(7))
    other = prior.sample(3, torch.Generator().manual_seed(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_fixed_prior_has_no_scale_and_learns_nothing() -> None:
    prior = Normal(3).double()
    prior.update(torch.randn(5, 3))
    assert prior.scale().tolist() == [1, 1, 1]
    assert prior.scale().dtype == torch.float64
    assert not prior.state_dict()


def test_dynamic_scale_is_equation_32() -> None:
    prior = DynamicScale(5, decay=0.75, start=0.5)
    torch.testing.assert_close(prior.scale(), torch.ones(5))
    codes = torch.randn(8, 5)
    prior.update(codes)
    v = 0.75 * 0.5 + 0.25 * codes.square().mean(0)
    torch.testing.assert_close(prior.v, v)
    torch.testing.assert_close(prior.scale(), (5 * v).sqrt() / v.sqrt().norm())
    torch.testing.assert_close(prior.scale().square().sum(), torch.tensor(5.0))
    assert list(prior.state_dict()) == ["v"]


def test_scale_follows_the_encoder_at_once() -> None:
    """From a small start one update decides s; from 1.0 it would hardly move."""
    recovered = torch.tensor([[1.0, 0.1], [-1.0, 0.1]])
    prior = DynamicScale(2)
    prior.update(recovered)
    assert prior.scale()[0] / prior.scale()[1] > 2
    late = DynamicScale(2, start=1.0)
    late.update(recovered)
    assert late.scale()[0] / late.scale()[1] < 1.01


def test_a_scale_in_use_is_not_changed_by_an_update() -> None:
    prior = DynamicScale(2)
    s = prior.scale()
    prior.update(torch.tensor([[3.0, 0.0]]))
    assert s.tolist() == [1, 1]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="got HalfUniformHalfNormal"):
        DynamicScale(3, base=HalfUniformHalfNormal)
    with pytest.raises(ValueError, match="dim: expected whole number from 1 to 65,536, got 0"):
        Normal(0)
    with pytest.raises(ValueError, match="std: expected number > 0, got -1"):
        Normal(2, std=-1)
    with pytest.raises(ValueError, match="low=1"):
        Uniform(2, low=1, high=1)
    with pytest.raises(ValueError, match=r"shape \(n, 2\), got \(3, 5\)"):
        Normal(2).log_prob(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="decay: expected number ≥ 0 and < 1, got 1"):
        DynamicScale(2, decay=1.0)


def test_v_is_the_mean_over_the_codes_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds three codes, this one five: v weighs all eight alike."""
    here, there = torch.randn(5, 2), torch.randn(3, 2)

    class Sent:
        """The other process answers late."""

        def __init__(self, packed: torch.Tensor) -> None:
            self.packed = packed

        def wait(self) -> None:
            self.packed += torch.cat([there.square().sum(0), torch.tensor([3.0])])

    def all_reduce(packed: torch.Tensor, async_op: bool) -> Sent:
        assert async_op
        return Sent(packed)

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    prior = DynamicScale(2, decay=0.75, start=0.5)
    update = prior.start_update(here)
    assert prior.v.eq(0.5).all()
    update()
    mean = torch.cat([here, there]).square().mean(0)
    torch.testing.assert_close(prior.v, 0.75 * 0.5 + 0.25 * mean)
