"""OOD scores against torch.distributions, plain formulas and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor
from torch.distributions import Normal as Gaussian

from lightning_gans import ood
from lightning_gans.errors import InputError
from lightning_gans.priors import DynamicScale, FixedScale, Traced

N, L = 40, 30


def normal(*shape: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=random, dtype=torch.float64)


def moments(kind: str) -> tuple[Tensor | float, Tensor | float]:
    """A mean and a variance: of all elements, of each, or of each element of each code."""
    if kind == "number":
        return 0.3, 0.04
    shape = (L,) if kind == "element" else (N, L)
    return normal(*shape, seed=1), normal(*shape, seed=2).exp()


def gaussian(mean: Tensor | float, variance: Tensor | float) -> Gaussian:
    both = (torch.as_tensor(t, dtype=torch.float64).expand(N, L) for t in (mean, variance))
    return Gaussian(next(both), next(both).sqrt())


@pytest.mark.parametrize("kind", ["number", "element", "code"])
def test_the_nll_is_torchs(kind: str) -> None:
    code, (mean, variance) = 3 * normal(N, L), moments(kind)
    expected = -gaussian(mean, variance).log_prob(code).sum(1)
    score = ood.latent_nll(code, mean, variance)
    torch.testing.assert_close(score, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prior", [DynamicScale, FixedScale])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nll_is_that_of_the_models(prior: type[Traced], dtype: torch.dtype) -> None:
    made, code = prior(L), (2 * normal(N, L)).to(dtype)
    made.v.copy_(normal(L, seed=3).exp())
    score = ood.latent_nll(code, made.mean, made.v)
    assert score.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    expected = made.negative_log_likelihood(code)
    torch.testing.assert_close(score, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("deviations", [1e3, 1e6, 1e15])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_nll_has_a_value_at_any_distance(dtype: torch.dtype, deviations: float) -> None:
    variance = torch.tensor([2.0**-14, 1.0])  # roots that half precision has, too
    code = (deviations * variance.sqrt()).to(dtype)[None]
    score = ood.latent_nll(code, 0.0, variance)
    exact = (code.double().square() / variance + variance.log() + math.log(2 * math.pi)).sum() / 2
    assert score.dtype == torch.float32
    assert score.item() == pytest.approx(exact.item(), rel=1e-6)
    assert score.item() > 0.99 * deviations**2


def test_the_thesiss_example_of_the_nll() -> None:
    """Section 3.3: the score of x_a is higher, by half of 0.99 - 0.27."""
    codes = torch.tensor([[0.1, -0.2, 0.3], [-0.3, 0.2, -0.1]], dtype=torch.float64)
    a, b = ood.latent_nll(codes, torch.zeros(3), torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64))
    assert (a - b).item() == pytest.approx(0.36, abs=1e-12)


@pytest.mark.parametrize("kind", ["number", "element", "code"])
def test_typicality_is_the_distance_of_the_nll_from_the_entropy(kind: str) -> None:
    code, (mean, variance) = 2 * normal(N, L), moments(kind)
    of = gaussian(mean, variance)
    gap = -of.log_prob(code).sum(1) - of.entropy().sum(1)
    score = ood.typicality(code, mean, variance)
    torch.testing.assert_close(score, gap.abs(), rtol=1e-10, atol=1e-10)


def test_typicality_finds_codes_too_near_the_mean() -> None:
    draws, v = normal(500, 200), torch.linspace(0.01, 2, 200).double()
    near, far = 0.1 * draws * v.sqrt(), 1.5 * draws * v.sqrt()
    usual = ood.typicality(draws * v.sqrt(), 0, v)
    # half a χ² of 200 degrees about its mean: its mean deviation is √(2/π) of √(200/2)
    assert usual.mean().item() == pytest.approx(math.sqrt(2 / math.pi * 100), rel=0.1)
    assert usual.max() < ood.typicality(near, 0, v).min()
    assert usual.max() < ood.typicality(far, 0, v).min()
    assert ood.typicality(torch.zeros(1, 200).double(), 0, v).item() == pytest.approx(100)
    # the likelihood alone takes the near ones for the most normal
    assert ood.latent_nll(near, 0, v).max() < ood.latent_nll(draws * v.sqrt(), 0, v).min()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_the_energy_is_its_formula(temperature: float) -> None:
    logits = 4 * normal(N, 10)
    expected = -temperature * np.log(np.exp(logits.numpy() / temperature).sum(1))
    np.testing.assert_allclose(ood.energy(logits, temperature), expected, rtol=1e-12)


def test_the_energy_of_large_logits_is_theirs() -> None:
    logits = torch.tensor([[1000.0, -1000.0], [-5000.0, -5000.0]])
    found = ood.energy(logits)
    assert found.tolist() == pytest.approx([-1000, 5000 - math.log(2)])
    assert ood.energy(logits[:1], 10).item() == pytest.approx(-1000)


def test_the_maximum_softmax_is_its_formula() -> None:
    logits = normal(N, 10, seed=4)
    expected = 1 - special.softmax(logits.numpy(), 1).max(1)
    np.testing.assert_allclose(ood.maximum_softmax(logits), expected, rtol=1e-12)
    equal = ood.maximum_softmax(torch.full((1, 4), 3.0))
    assert equal.item() == pytest.approx(0.75)


def test_the_maximum_softmax_tells_confident_images_apart() -> None:
    logits = torch.tensor([[30.0, 0, 0], [31.0, 0, 0], [1.0, 40.0, 1.0]])
    expected = [2 * math.exp(-30), 2 * math.exp(-31), 2 * math.exp(-39)]
    assert ood.maximum_softmax(logits).tolist() == pytest.approx(expected, rel=1e-5, abs=0)


def test_react_clips_from_above_alone() -> None:
    features = normal(N, 7)
    np.testing.assert_array_equal(ood.react(features, 0.4), np.minimum(features.numpy(), 0.4))
    assert features.max() > 0.4
    assert torch.equal(ood.react(features, math.inf), features)


@pytest.mark.parametrize("percentile", [0.0, 0.85, 0.9, 0.95, 1.0])
def test_the_threshold_of_react_is_numpys(percentile: float) -> None:
    features = normal(N, 3, 5).relu()
    expected = np.percentile(features.numpy().ravel(), 100 * percentile)
    assert ood.react_threshold(features, percentile) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("error", [ood.reconstruction_error, ood.feature_error])
def test_errors_are_mean_squares_of_each_image(error: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, y = normal(5, 3, 4, 6), normal(5, 3, 4, 6, seed=5)
    expected = [np.mean((a - b) ** 2) for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(error(x, y), expected, rtol=1e-12)
    flat = error(x.flatten(1), y.flatten(1))
    np.testing.assert_allclose(flat, expected, rtol=1e-12)
    # in half precision 512² would be infinite
    assert error(torch.full((1, 2), 512.0).half(), torch.zeros(1, 2).half()).item() == 2.0**18


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "shape": (lambda: ood.latent_nll(torch.zeros(3), 0, 1), r"codes of shape \(n, k\), got \(3,\)"),
    "nan": (lambda: ood.latent_nll(torch.full((1, 2), math.nan), 0, 1), "codes of finite"),
    "zero": (lambda: ood.latent_nll(torch.zeros(1, 2), 0, 0), "variance above 0, got 0"),
    "below": (
        lambda: ood.typicality(torch.zeros(1, 2), 0, torch.tensor([1.0, -1.0])),
        "variance above 0, got -1",
    ),
    "infinite": (lambda: ood.latent_nll(torch.zeros(1, 2), 0, math.inf), "variance of finite"),
    "rows": (  # would spread over the elements
        lambda: ood.latent_nll(torch.zeros(3, 2), 0, torch.ones(3, 1)),
        r"variance .* codes \(n, L\) of shape \(3, 2\), got \(3, 1\)",
    ),
    "mean": (lambda: ood.latent_nll(torch.zeros(3, 2), torch.ones(3), 1), r"mean .* got \(3,\)"),
    "integers": (lambda: ood.energy(torch.zeros(3, 2).long()), "logits of floating type"),
    "cold": (lambda: ood.energy(torch.zeros(3, 2), 0), "temperature above 0, got 0"),
    "logits": (lambda: ood.maximum_softmax(torch.tensor([[math.inf, 0]])), "logits of finite"),
    "hundred": (lambda: ood.react_threshold(torch.zeros(3), 90), r"in \[0, 1\], as 0.9, got 90"),
    "none": (lambda: ood.react_threshold(torch.zeros(0, 4)), "got none"),
    "bound": (lambda: ood.react(torch.zeros(3), math.nan), "threshold of ReAct, got NaN"),
    "pair": (
        lambda: ood.reconstruction_error(torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 1, 1)),
        r"one shape \(n, ...\), got \(3, 1, 2, 2\) and \(3, 1, 1, 1\)",
    ),
    "second": (
        lambda: ood.feature_error(torch.zeros(1, 2), torch.full((1, 2), math.nan)),
        "features .* of finite numbers",
    ),
    "ranks": (lambda: ood.rank_sum([[1.0]], []), "as many held-out scores as scores, got 0"),
    "images": (lambda: ood.fisher([[1.0], [1.0, 2.0]], [[1.0]] * 2), r"same images, got \[1, 2\]"),
    "few": (lambda: ood.alarm_threshold([1.0] * 18, 0.05), "at least 19 held-out scores, got 18"),
    "rate": (lambda: ood.alarm_threshold([1.0], 1.0), "between 0 and 1, got 1"),
    "held": (lambda: ood.pvalues([1.0], [math.inf]), "held-out scores of finite numbers, got 1 of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_scored_is_refused_in_one_line(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_pvalues_count_the_held_out_scores_that_are_at_least_as_high() -> None:
    held_out = torch.tensor([3.0, 1.0, 2.0, 2.0])
    found = ood.pvalues(torch.tensor([0.0, 2.0, 2.5, 3.0, 9.0]), held_out)
    assert found.tolist() == [1.0, 0.8, 0.4, 0.4, 0.2]
    assert held_out.tolist() == [3.0, 1.0, 2.0, 2.0]


def test_pvalues_of_id_images_are_uniform_and_never_zero() -> None:
    """Of one image a time, each with held-out ones of its own, from a skewed distribution."""
    random, held_out = np.random.default_rng(0), 19
    draws = random.gamma(0.7, size=(3000, held_out + 1))
    found = np.array([ood.pvalues(row[:1], row[1:]).item() for row in draws])
    assert found.min() == 1 / (held_out + 1)
    # between two possible values the chance is spread evenly
    spread = found - random.uniform(size=len(found)) / (held_out + 1)
    assert stats.kstest(spread, "uniform").pvalue > 0.01
    # higher ones are not
    moved = np.array([ood.pvalues(row[:1] + 0.3, row[1:]).item() for row in draws])
    assert stats.kstest(moved, "uniform").pvalue < 1e-6


def test_equal_scores_do_not_raise_false_alarms() -> None:
    random = np.random.default_rng(1)
    draws = random.integers(3, size=(2000, 20))
    found = np.array([ood.pvalues(row[:1], row[1:]).item() for row in draws])
    for rate in (0.05, 0.1, 0.3, 0.5):
        assert (found <= rate).mean() <= rate + 3 * math.sqrt(rate * (1 - rate) / 2000)


@pytest.mark.parametrize("n", [19, 99, 100, 250])
@pytest.mark.parametrize("rate", [0.05, 0.07, 0.29, 0.58, 0.99])
def test_the_threshold_agrees_with_the_pvalues(n: int, rate: float) -> None:
    held_out = normal(n, seed=n).mul(20).round()  # with ties
    scores = torch.cat([held_out, held_out + 0.5, torch.tensor([-1e9, 1e9]).double()])
    alarms = scores > ood.alarm_threshold(held_out, rate)
    assert torch.equal(alarms, ood.pvalues(scores, held_out) <= rate)
    assert (held_out > ood.alarm_threshold(held_out, rate)).double().mean() <= rate


def test_scores_are_joined_by_their_ranks() -> None:
    scores, held_out = [[0.0, 5.0, 2.5], [70.0, 50.0, 90.0]], [[1.0, 2, 3, 4], [60.0, 70, 80, 90]]
    p = np.array([[1, 0.2, 0.6], [0.8, 1, 0.4]])
    np.testing.assert_allclose(ood.rank_sum(scores, held_out), (1 - p).sum(0), atol=1e-12)
    np.testing.assert_allclose(ood.fisher(scores, held_out), -np.log(p[0] * p[1]), atol=1e-12)
    # another unit, or any other increasing function of a score, changes nothing
    bent = ood.rank_sum([np.exp(scores[0]), scores[1]], [np.exp(held_out[0]), held_out[1]])
    assert torch.equal(bent, ood.rank_sum(scores, held_out))


@pytest.mark.parametrize("join", [ood.rank_sum, ood.fisher])
def test_joined_scores_find_more_than_either(join: Callable[..., Tensor]) -> None:
    known, usual, anomalous = normal(2, 2000), normal(2, 2000, seed=6), 1 + normal(2, 2000, seed=7)
    single = [ood.auroc(usual[i], anomalous[i]) for i in range(2)]
    both = ood.auroc(join(list(usual), list(known)), join(list(anomalous), list(known)))
    # two independent scores, each moved by 1: at best Φ(1) where each has Φ(√½)
    assert max(single) < 0.78
    assert 0.82 < both < stats.norm.cdf(1) + 0.02
