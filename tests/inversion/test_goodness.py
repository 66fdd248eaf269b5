"""Goodness of fit against scipy, against chance, and on codes of which the answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from matplotlib.figure import Figure
from scipy import integrate, stats
from torch import Tensor
from torch.distributions import Laplace
from torch.distributions import Normal as TorchNormal

from lightning_gans.errors import InputError
from lightning_gans.inversion.goodness import (
    anderson_darling_pvalue,
    goodness_of_fit,
    verdict_of,
)
from lightning_gans.plots import against_prior, quantile_pairs
from lightning_gans.priors import (
    DynamicScale,
    HalfUniformHalfNormal,
    Independent,
    Normal,
    Prior,
    Uniform,
)

Floats = npt.NDArray[np.float64]

PRIORS = [Normal(6), Uniform(6), HalfUniformHalfNormal(6)]
IDS = ["normal", "uniform", "half"]
three = pytest.mark.parametrize("prior", PRIORS, ids=IDS)
SPREAD = torch.tensor([0.2, 0.5, 1.0, 2.0, 5.0, 9.0])


def apart() -> Independent:
    """A prior whose six elements have their own means and deviations."""
    return Independent(6, TorchNormal(torch.linspace(-4, 4, 6), SPREAD))


def draws(prior: Prior, n: int, seed: int = 0) -> Tensor:
    return prior.sample(n, torch.Generator().manual_seed(seed))


def grid(prior: Prior, n: int) -> Tensor:
    """Codes at evenly spaced quantiles: more regular than any draws."""
    u = (torch.arange(n * prior.dim, dtype=torch.float64) + 0.5) / (n * prior.dim)
    return prior.icdf(u[torch.randperm(len(u))].view(n, prior.dim))


def half_cdf(z: Floats) -> Floats:
    return 0.5 * stats.uniform(-1, 1).cdf(z) + 0.5 * stats.halfnorm.cdf(z)


@pytest.mark.parametrize(
    ("prior", "cdf"),
    [
        (PRIORS[0], stats.norm.cdf),
        (PRIORS[1], stats.uniform(-1, 2).cdf),
        (PRIORS[2], half_cdf),
        (Normal(6, 0.7, 1.9), stats.norm(0.7, 1.9).cdf),
        (DynamicScale(6), stats.norm.cdf),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 0.9])
def test_the_tests_are_scipys(prior: Prior, cdf: Callable[[Floats], Floats], factor: float) -> None:
    codes = factor * draws(prior, 50).double()
    z = codes.numpy()
    fit = goodness_of_fit(codes, prior)
    u = cdf(z)
    expected = stats.kstest(u.ravel(), "uniform", alternative="two-sided")
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert fit.pvalue == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-12)
    cramer = stats.cramervonmises(u.ravel(), "uniform")
    assert fit.cramer_von_mises == pytest.approx((cramer.statistic, cramer.pvalue), rel=1e-9)
    single = np.array([stats.kstest(column, "uniform").pvalue for column in u.T])
    np.testing.assert_allclose(fit.per_index.pvalues, single, rtol=1e-9)
    # Benjamini & Hochberg by their definition: the least k-th of L p-values times L/k from k on
    order = single.argsort()
    scaled = single[order] * 6 / np.arange(1, 7)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    np.testing.assert_allclose(fit.per_index.adjusted[order], adjusted, rtol=1e-9)
    assert (fit.n, fit.mean, fit.variance) == pytest.approx((50, z.mean(), z.var()))


@three
def test_anderson_darling_is_its_integral(prior: Prior) -> None:
    """A² = n ∫ (Fₙ(u) - u)² / (u(1 - u)) du, between neighbours in closed form."""
    codes = draws(prior, 20).double()
    u = np.sort(prior.cdf(codes).numpy().ravel())
    n, edges = len(u), np.concatenate([[0.0], u, [1.0]])
    total = 0.0
    for i, (a, b) in enumerate(pairwise(edges)):
        c = i / n  # the antiderivative is c² log u - (1-c)² log(1-u) - u
        ends = [
            (c**2 * math.log(x) if c else 0) - ((1 - c) ** 2 * math.log1p(-x) if c < 1 else 0) - x
            for x in (a, b)
        ]
        total += ends[1] - ends[0]
    assert goodness_of_fit(codes, prior).anderson_darling.statistic == pytest.approx(n * total)


def test_the_distribution_of_anderson_darling() -> None:
    """Against published critical values, and against draws of Σ χ²ᵢ / (i(i + 1))."""
    critical = {1.933: 0.1, 2.492: 0.05, 3.070: 0.025, 3.857: 0.01}
    for value, share in critical.items():
        # Stephens 1974 rounds, and fitted
        assert anderson_darling_pvalue(value) == pytest.approx(share, rel=0.03)
    assert anderson_darling_pvalue(0.7742142) == pytest.approx(
        0.5, abs=1e-6
    )  # Anderson & Darling's median
    assert (anderson_darling_pvalue(0.0), anderson_darling_pvalue(1e-9)) == pytest.approx(
        (1, 1), abs=1e-12
    )
    falling = [anderson_darling_pvalue(a) for a in np.linspace(0.05, 300, 400)]
    assert (np.diff(falling) < 0).all()
    # far out only the first of the χ² counts, the others are worth a factor of √3
    assert anderson_darling_pvalue(300) == pytest.approx(
        math.sqrt(3) * math.erfc(math.sqrt(300)), rel=2e-3
    )

    i = np.arange(1, 201)
    random = np.random.default_rng(0)
    sums = (random.chisquare(1, (40_000, 200)) / (i * (i + 1))).sum(1) + 1 / 201
    for value in (0.3, 0.5, 1.0, 1.933, 2.492, 3.857):
        p = anderson_darling_pvalue(value)
        assert (sums > value).mean() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 40_000))


def test_genuine_draws_give_uniform_pvalues() -> None:
    kinds = [Normal(2), Uniform(2), HalfUniformHalfNormal(2)]
    sets = [draws(prior, 334 * 8).view(334, 8, 2) for prior in kinds]
    fits = [goodness_of_fit(z, k) for k, every in zip(kinds, sets, strict=True) for z in every]
    for pvalues in (
        [fit.pvalue for fit in fits],
        [fit.anderson_darling.pvalue for fit in fits],
        [fit.cramer_von_mises.pvalue for fit in fits],
        [float(fit.per_index.pvalues[1]) for fit in fits],
    ):
        # four tests of tests: at 1 % each, one seed in thirty would fail a program that is right
        assert stats.kstest(pvalues, "uniform").pvalue > 0.001
    error = math.sqrt(0.05 * 0.95 / len(fits))
    for verdict in ("rejected", "over-regular"):
        share = np.mean([fit.verdict == verdict for fit in fits])
        assert share == pytest.approx(0.05, abs=4 * error)


@three
def test_known_verdicts(prior: Prior) -> None:
    genuine = draws(prior, 400, seed=1)
    assert goodness_of_fit(genuine, prior).verdict == "not rejected"
    shrunk = goodness_of_fit(0.8 * genuine, prior)
    assert shrunk.verdict == "rejected"
    assert max(shrunk.pvalue, shrunk.anderson_darling.pvalue) < 1e-4
    assert shrunk.cramer_von_mises.pvalue < 1e-4
    regular = goodness_of_fit(grid(prior, 400), prior)
    assert regular.verdict == "over-regular"
    assert min(regular.pvalue, regular.anderson_darling.pvalue) > 0.999


def test_the_verdict_is_at_the_level() -> None:
    codes = draws(Normal(6), 100, seed=5)
    p = goodness_of_fit(codes, Normal(6)).pvalue
    assert 0.01 < p < 0.49
    assert goodness_of_fit(codes, Normal(6), p * 1.01).verdict == "rejected"
    assert goodness_of_fit(codes, Normal(6), p * 0.99).verdict == "not rejected"


@pytest.mark.parametrize(
    ("prior", "pvalue", "rejected", "verdict"),
    [
        (Normal(6), 0.049, 0, "rejected"),
        (Normal(6), 0.051, 6, "not rejected"),
        (Normal(6), 0.949, 0, "not rejected"),
        (Normal(6), 0.951, 0, "over-regular"),
        (apart(), 0.05 / 7 - 1e-4, 0, "rejected"),
        (apart(), 0.05 / 7 + 1e-4, 0, "not rejected"),
        (apart(), 0.5, 1, "rejected"),
        (apart(), 0.951, 0, "over-regular"),
        (apart(), 0.951, 1, "rejected"),
    ],
)
def test_the_verdict(prior: Prior, pvalue: float, rejected: int, verdict: str) -> None:
    assert verdict_of(pvalue, rejected, prior, 0.05) == verdict


def test_differing_elements_are_tested_each_by_its_own() -> None:
    prior = apart()
    codes = draws(prior, 300)
    fit = goodness_of_fit(codes, prior)
    u = stats.norm(np.linspace(-4, 4, 6), SPREAD.numpy()).cdf(codes.double().numpy())
    # torch's own parameters are float32
    assert fit.pvalue == pytest.approx(stats.kstest(u.ravel(), "uniform").pvalue, rel=1e-4)
    assert fit.verdict == "not rejected"
    # as one distribution of the same mean and variance they would be rejected
    alike = Normal(6, float(codes.mean()), float(codes.std()))
    assert goodness_of_fit(codes, alike).verdict == "rejected"


def test_differing_elements_hide_nothing_from_each_other() -> None:
    prior = apart()
    u = prior.cdf(draws(prior, 300).double())
    # one index has the lower half of its distribution only, the next the upper half of its own
    u[:, 2], u[:, 3] = u[:, 2] / 2, 0.5 + u[:, 3] / 2
    hidden = goodness_of_fit(prior.icdf(u), prior)
    assert hidden.pvalue > 0.05
    assert hidden.per_index.rejected == 2
    assert hidden.verdict == "rejected"
    # in few codes no index tells, but all together do
    few = goodness_of_fit(prior.icdf(0.35 + 0.3 * prior.cdf(draws(prior, 5).double())), prior)
    assert few.per_index.rejected == 0
    assert few.verdict == "rejected"
    even = (torch.arange(300 * 6, dtype=torch.float64) + 0.5) / (300 * 6)
    spaced = goodness_of_fit(prior.icdf(even.view(300, 6)), prior)
    assert spaced.verdict == "over-regular"


def test_genuine_draws_of_differing_elements_are_seldom_rejected() -> None:
    prior = Independent(2, TorchNormal(torch.tensor([-3.0, 3.0]), torch.tensor([0.5, 2.0])))
    codes = draws(prior, 300 * 8, seed=2).view(300, 8, 2)
    share = np.mean([goodness_of_fit(each, prior).verdict == "rejected" for each in codes])
    # by the indices 5 %, by all together a third of that at most
    error = math.sqrt(0.05 * 0.95 / 300)
    assert 0.05 - 4 * error < share < 0.05 * 4 / 3 + 4 * error


def test_one_bad_index_is_found() -> None:
    prior = Normal(40)
    codes = draws(prior, 200)
    assert goodness_of_fit(codes, prior).per_index.rejected == 0
    codes[:, 7] *= 0.4
    fit = goodness_of_fit(codes, prior)
    assert fit.per_index.rejected == 1
    assert int(fit.per_index.adjusted.argmin()) == 7
    assert float(fit.per_index.adjusted[7]) < 0.01
    # one index in forty: all elements together still pass
    assert fit.verdict == "not rejected"


@pytest.mark.filterwarnings("error")
def test_elements_outside_the_support() -> None:
    """Impossible under the prior: A² is infinite; on the very edge, by rounding, it is not."""
    for prior, beyond in [(Uniform(6), 1.01), (Uniform(6, -0.1, 3), -0.11), (PRIORS[2], -1.01)]:
        codes = draws(prior, 100)
        assert math.isfinite(goodness_of_fit(codes, prior).anderson_darling.statistic)
        codes[3, 2] = beyond
        fit = goodness_of_fit(codes, prior)
        assert fit.anderson_darling == (math.inf, 0)
        assert math.isfinite(fit.pvalue)
    prior = Uniform(6, -0.1, 0.7)  # neither end is a number of float32
    codes = draws(prior, 100)
    codes[0, :2] = torch.tensor([-0.1, 0.7])
    assert goodness_of_fit(codes, prior).anderson_darling.pvalue > 0.01
    far = draws(Normal(6), 100)
    far[0, 0] = 9.5  # its cdf is 1 in float64
    assert math.isfinite(goodness_of_fit(far, Normal(6)).anderson_darling.statistic)


@pytest.mark.filterwarnings("error")
def test_hopeless_codes_are_told_in_plain_numbers() -> None:
    for codes in (torch.zeros(2000, 6), torch.full((2000, 6), 40.0), -30 * torch.ones(2, 6)):
        fit = goodness_of_fit(codes, Normal(6))
        assert fit.verdict == "rejected"
        found = [fit.pvalue, fit.anderson_darling.pvalue, fit.cramer_von_mises.pvalue]
        assert 0 <= min(found) <= max(found) < 1e-3


def test_the_summary_says_what_was_found() -> None:
    fit = goodness_of_fit(0.8 * draws(Normal(6), 400), Normal(6), 0.01)
    first, tests, indices, moments = str(fit).splitlines()
    assert first.startswith("400 codes of 6 elements, level 0.01: rejected")
    assert f"D = {fit.statistic:.4g}, p = {fit.pvalue:.3g};" in tests
    assert f"A² = {fit.anderson_darling.statistic:.4g}" in tests
    assert f"ω² = {fit.cramer_von_mises.statistic:.4g}" in tests
    assert indices.endswith(f": {fit.per_index.rejected} of 6")
    assert f"variance {fit.variance:.4g}" in moments


def test_one_code_that_only_other_tests_reject_is_not_called_a_draw() -> None:
    code = draws(Normal(64), 1, seed=1)
    first = str(goodness_of_fit(code, Normal(64))).splitlines()[0]
    assert first.endswith(
        "could be draws of the prior; of so few elements, only a large difference shows"
    )
    code[0, :3] = torch.tensor([40.0, -40.0, 40.0])
    fit = goodness_of_fit(code, Normal(64))
    assert fit.verdict == "not rejected"
    first = str(fit).splitlines()[0]
    assert "not rejected by the Kolmogorov-Smirnov test of all elements, but rejected by" in first
    assert fit.per_index.rejected >= 3
    assert f"Anderson-Darling and {fit.per_index.rejected} indices on their own" in first
    assert "could be" not in first
    worst = float(fit.per_index.adjusted.min())
    assert fit.objections == [
        ("Anderson-Darling", fit.anderson_darling.pvalue, 1),
        ("index", worst, fit.per_index.rejected),
    ]
    # many draws are neither few nor rejected, and what the verdict rejects needs no second word
    many = goodness_of_fit(draws(Normal(64), 100), Normal(64))
    assert str(many).splitlines()[0].endswith(": the codes could be draws of the prior")
    assert goodness_of_fit(2 * draws(Normal(64), 10), Normal(64)).objections == []


def test_codes_that_cannot_be_tested_are_refused() -> None:
    bad = torch.zeros(5, 6)
    bad[2, 3] = math.nan
    with pytest.raises(InputError, match=r"shape \(n, 6\), got \(5, 4\)"):
        goodness_of_fit(torch.zeros(5, 4), Normal(6))
    with pytest.raises(InputError, match="NaN"):
        goodness_of_fit(bad, Normal(6))
    with pytest.raises(InputError, match="at least 8 elements, got 6"):
        goodness_of_fit(torch.zeros(1, 6), Normal(6))
    with pytest.raises(InputError, match="at least 8 elements, got 7"):
        goodness_of_fit(torch.zeros(7, 1), Normal(1))
    assert goodness_of_fit(draws(Normal(8), 1), Normal(8)).n == 1
    for level in (0.0, 0.5, 5.0, math.nan):
        with pytest.raises(InputError, match="level"):
            goodness_of_fit(torch.zeros(5, 6), Normal(6), level)


@pytest.mark.parametrize("prior", [*PRIORS, Independent(6, Laplace(0.0, 2.0))])
def test_quantile_pairs(prior: Prior) -> None:
    expected, found = quantile_pairs(grid(prior, 500), prior)
    assert len(expected) == len(found) == 2000
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    codes = grid(prior, 20)
    expected, found = quantile_pairs(3 * codes + 1, prior)
    torch.testing.assert_close(found, 3 * expected + 1)
    assert (found[0], found[-1]) == (3 * codes.min() + 1, 3 * codes.max() + 1)
    assert len(found) == 120


@pytest.mark.figures
@pytest.mark.parametrize("prior", [PRIORS[0], PRIORS[2], apart()], ids=["normal", "half", "apart"])
def test_the_figure(prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: Any) -> None:
        figures.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    codes = draws(prior, 3000)
    against_prior(codes, prior, tmp_path / "fit.png", "genuine")
    assert (tmp_path / "fit.png").read_bytes()[:4] == b"\x89PNG"
    (figure,) = figures
    assert figure.get_suptitle() == "genuine"
    histogram, quantiles = figure.axes
    bars = [(p.get_x() + p.get_width() / 2, p.get_height()) for p in histogram.patches]  # type: ignore[attr-defined]
    width = histogram.patches[0].get_width()  # type: ignore[attr-defined]
    assert sum(height for _, height in bars) * width == pytest.approx(1)
    x, density = (np.asarray(v) for v in histogram.lines[0].get_data())
    # bars of genuine draws follow the line, but for those across a jump of the density
    apartness = [abs(height - np.interp(middle, x, density)) for middle, height in bars]
    assert np.sort(apartness)[:-3].max() < 0.15
    assert integrate.trapezoid(density, x) == pytest.approx(1, abs=0.02)
    points, line = quantiles.lines
    below, above = (np.asarray(v) for v in line.get_data())
    np.testing.assert_array_equal(below, above)
    expected, found = quantile_pairs(codes, prior)
    np.testing.assert_array_equal(np.asarray(points.get_data()), torch.stack([expected, found]))
