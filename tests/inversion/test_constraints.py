"""Constraints against their formulas, written in numpy, and against what chance should give."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Laplace
from torch.distributions import Normal as TorchNormal

from lightning_gans.errors import InputError
from lightning_gans.inversion.constraints import (
    BoundaryResampling,
    Constraint,
    HardCutoff,
    LogisticCutoff,
    Resampling,
    TruncatedNormalCutoff,
    TypicalBall,
)
from lightning_gans.priors import (
    DynamicScale,
    HalfUniformHalfNormal,
    Independent,
    Normal,
    Prior,
    Uniform,
)

SHIFTED = Normal(4, mean=0.7, std=1.9)
Z = torch.linspace(-8, 8, 44, dtype=torch.float64).view(11, 4)
T = (Z.numpy() - 0.7) / 1.9


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal_ratio(cutoff: float) -> npt.NDArray[np.float64]:
    inside = stats.norm.pdf(cutoff) / stats.norm.pdf(T)
    return np.where(np.abs(T) <= cutoff, inside, 1.0)


@pytest.mark.parametrize(
    ("resampling", "expected"),
    [
        (HardCutoff(2.5), np.abs(T) > 2.5),
        (LogisticCutoff(3, 1.5), 1 / (1 + np.exp(-3 * (np.abs(T) - 1.5)))),
        (LogisticCutoff(), 1 / (1 + np.exp(-2 * (np.abs(T) - 2)))),
        (TruncatedNormalCutoff(2.75), normal_ratio(2.75)),
        (TruncatedNormalCutoff(0.5), normal_ratio(0.5)),
    ],
)
def test_probabilities_are_the_papers(
    resampling: Resampling, expected: npt.NDArray[np.float64]
) -> None:
    alike = Independent(4, TorchNormal(torch.tensor(0.7), torch.tensor(1.9)))
    traced = DynamicScale(4, base=lambda dim: Normal(dim, 0.0, 1.9))
    for prior, z in [(SHIFTED, Z), (alike, Z), (traced, Z - 0.7)]:
        resampling.check(prior)
        # torch's own parameters are float32
        np.testing.assert_allclose(resampling.probability(z, prior), expected, rtol=1e-5)
    np.testing.assert_allclose(resampling.probability(Z, SHIFTED), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("prior", "low", "high"),
    [
        (Uniform(4), -1, 1),
        (Uniform(4, 0.5, 3), 0.5, 3),
        (HalfUniformHalfNormal(4), -1, math.inf),
    ],
)
def test_beyond_the_bounds_is_drawn_anew(prior: Prior, low: float, high: float) -> None:
    boundary = BoundaryResampling()
    boundary.check(prior)
    bounds = [torch.tensor(b).expand(4) for b in (low, high) if math.isfinite(b)]
    z = torch.cat([Z, torch.stack(bounds).double()])
    expected = (z.numpy() < low) | (z.numpy() > high)
    found, drawn = boundary.apply(z, prior, 200, random())
    assert np.array_equal(drawn, expected)
    assert expected.any()
    assert torch.equal(found[~drawn], z[~drawn])
    assert ((found >= low) & (found <= high)).all()


@pytest.mark.parametrize("t", [0.3, 1.7, 2.4])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_p_holds_for_the_whole_descent(t: float, steps: int) -> None:
    z = torch.full((2500, 4), 0.7 + 1.9 * t, dtype=torch.float64)
    p, generator = 1 / (1 + math.exp(-2 * (t - 2))), random(3)
    touched = torch.zeros_like(z, dtype=torch.bool)
    for _ in range(steps):
        touched |= LogisticCutoff().apply(z, SHIFTED, steps, generator)[1]
    error = math.sqrt(p * (1 - p) / z.numel())
    assert float(touched.double().mean()) == pytest.approx(p, abs=4 * error)


def test_p_of_each_step() -> None:
    z = torch.full((5000, 4), 0.7 + 1.9 * 1.7, dtype=torch.float64)
    p = 1 / (1 + math.exp(-2 * (1.7 - 2)))
    drawn = LogisticCutoff(per_step=False).apply(z, SHIFTED, 200, random())[1]
    share = float(drawn.double().mean())
    assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / z.numel()))
    p = stats.norm.pdf(2.5) / stats.norm.pdf(1.7)
    drawn = TruncatedNormalCutoff(per_step=False).apply(z, SHIFTED, 200, random())[1]
    share = float(drawn.double().mean())
    assert share == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / z.numel()))


@pytest.mark.parametrize("per_step", [True, False])
def test_p_of_one_draws_at_every_step(per_step: bool) -> None:
    z = torch.full((50, 4), 20.0)
    for criterion in (TruncatedNormalCutoff(2, per_step), HardCutoff(2)):
        assert criterion.apply(z, SHIFTED, 20_000, random())[1].all()


def test_thresholds_are_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of float32's uniform numbers one in 2²⁴ is 0, below any probability: rare draws too often."""
    rand, found = torch.rand, []

    def recorded(
        shape: torch.Size, generator: torch.Generator, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        found.append(dtype)
        return rand(shape, generator=generator, dtype=dtype, device=device)

    monkeypatch.setattr(torch, "rand", recorded)
    LogisticCutoff().apply(torch.zeros(3, 4), Normal(4), 10**6, random())
    assert found == [torch.float64]


@pytest.mark.parametrize(
    ("constraint", "prior"),
    [
        (LogisticCutoff(per_step=False), Normal(200, 0.7, 1.9)),
        (TruncatedNormalCutoff(1.0), Normal(200)),
        (HardCutoff(1.0), DynamicScale(200)),
        (BoundaryResampling(), Uniform(200, 0, 3)),
        (BoundaryResampling(), HalfUniformHalfNormal(200)),
    ],
)
def test_what_is_drawn_anew_follows_the_prior(constraint: Resampling, prior: Prior) -> None:
    z = 7 * torch.randn(100, 200, generator=random(1), dtype=torch.float64)
    before, state = z.clone(), torch.get_rng_state()
    found, drawn = constraint.apply(z, prior, 3, random())
    assert 1000 < drawn.sum() < z.numel()
    assert torch.equal(found[~drawn], z[~drawn])
    u = prior.cdf(found[drawn])
    assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01
    # neither the codes given nor the global stream are touched; the same again gives the same
    assert torch.equal(z, before)
    assert torch.equal(torch.get_rng_state(), state)
    again = constraint.apply(z, prior, 3, random())
    assert torch.equal(found, again[0])
    assert torch.equal(drawn, again[1])
    assert not torch.equal(found, constraint.apply(z, prior, 3, random(9))[0])


def test_the_stream_does_not_depend_on_the_codes() -> None:
    states = []
    for z in (torch.zeros(6, 4), torch.full((6, 4), 50.0)):
        generator = random()
        TruncatedNormalCutoff().apply(z, SHIFTED, 5, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_non_finite_codes_stay_so_and_gradients_do_not_pass() -> None:
    z = torch.full((3, 4), math.nan, requires_grad=True)
    for constraint in (LogisticCutoff(), TypicalBall()):
        found, drawn = constraint.apply(z, SHIFTED, 5, random())
        assert found.isnan().all()
        assert not drawn.any()
        assert not found.requires_grad


@pytest.mark.parametrize("deviations", [0.0, 3.0])
@pytest.mark.parametrize("prior", [Normal(50), Normal(50, 0.7, 1.9)])
def test_projection_on_the_ball(prior: Normal, deviations: float) -> None:
    ball = TypicalBall(deviations)
    ball.check(prior)
    lengths = torch.linspace(0, 20, 41, dtype=torch.float64)[:, None]
    way = torch.nn.functional.normalize(torch.randn(41, 50, generator=random()).double())
    z = prior.mean + math.sqrt(prior.variance) * lengths * way
    found, drawn = ball.apply(z, prior, 10, random())
    assert drawn.dtype == torch.bool
    assert drawn.shape == z.shape
    assert not drawn.any()

    radius = math.sqrt(50 + deviations * math.sqrt(100))
    inside = lengths[:, 0] <= radius
    assert torch.equal(found[inside], z[inside])
    t = (found - prior.mean) / math.sqrt(prior.variance)
    torch.testing.assert_close(t[~inside], radius * way[~inside])
    torch.testing.assert_close(ball.apply(found, prior, 10, random())[0], found)


def test_the_ball_holds_genuine_draws() -> None:
    """Their ‖t‖² follows χ² of L degrees: its tail is the share that is moved."""
    for deviations in (1.0, 3.0):
        z = Normal(50, 0.7, 1.9).sample(20_000, random())
        found, _ = TypicalBall(deviations).apply(z, Normal(50, 0.7, 1.9), 10, random())
        share = float((found != z).any(1).double().mean())
        expected = stats.chi2(50).sf(50 + deviations * 10)
        error = math.sqrt(expected * (1 - expected) / 20_000)
        assert share == pytest.approx(expected, abs=4 * error)


NORMAL_ONLY = [HardCutoff(), LogisticCutoff(), TruncatedNormalCutoff(), TypicalBall()]


@pytest.mark.parametrize("constraint", NORMAL_ONLY, ids=lambda c: type(c).__name__)
def test_other_priors_are_refused(constraint: Constraint) -> None:
    apart = Independent(3, TorchNormal(torch.tensor([0.0, 1.0, 2.0]), torch.ones(3)))
    for prior in (Uniform(3), HalfUniformHalfNormal(3), Independent(3, Laplace(0.0, 1.0)), apart):
        with pytest.raises(InputError, match=rf"^{type(constraint).__name__} is .*\S+$") as caught:
            constraint.check(prior)
        assert type(prior).__name__ in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError):
            constraint.apply(torch.zeros(2, 3), prior, 5, random())


def test_a_prior_without_a_bound_is_refused() -> None:
    for prior in (Normal(3), DynamicScale(3), Independent(3, Laplace(0.0, 1.0))):
        with pytest.raises(InputError, match=r"finite bound.*LogisticCutoff"):
            BoundaryResampling().check(prior)


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_numbers_out_of_range_are_refused(number: float) -> None:
    for kind in (HardCutoff, TruncatedNormalCutoff, LogisticCutoff):
        with pytest.raises(ValueError, match="number > 0, got"):
            kind(number)
    if number != 0:
        with pytest.raises(ValueError, match="number ≥ 0, got"):
            LogisticCutoff(1, number)
        with pytest.raises(ValueError, match="number ≥ 0, got"):
            TypicalBall(number)


def applied(constraint: Constraint, z: Tensor) -> torch.dtype:
    return constraint.apply(z, Normal(3), 5, random())[0].dtype


def test_codes_keep_their_precision() -> None:
    for dtype in (torch.float32, torch.float64):
        z = torch.full((2, 3), 9.0, dtype=dtype)
        assert applied(HardCutoff(), z) == dtype
        assert applied(TypicalBall(), z) == dtype
