"""Distances of codes from their prior against scipy, quantile grids and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch
import torch.distributions as dist
from numpy.typing import NDArray
from scipy import integrate, stats
from torch import Tensor

from lightning_gans import distances
from lightning_gans.errors import InputError
from lightning_gans.priors import (
    DynamicScale,
    HalfUniformHalfNormal,
    Independent,
    Normal,
    Prior,
    Uniform,
)

Array: TypeAlias = NDArray[np.float64]
LENGTH = 40


def half_and_half(u: Array) -> Array:
    return np.where(u < 0.5, 2 * u - 1, stats.norm.ppf(np.maximum(u, 0.5)))


# each prior and, from scipy, its quantile function
CASES: dict[str, tuple[Prior, Callable[[Array], Array]]] = {
    "normal": (Normal(LENGTH), stats.norm.ppf),
    "uniform": (Uniform(LENGTH), stats.uniform(-1, 2).ppf),
    "half": (HalfUniformHalfNormal(LENGTH), half_and_half),
    "moved": (Normal(LENGTH, 2, 3), stats.norm(2, 3).ppf),
    "laplace": (Independent(LENGTH, dist.Laplace(0.5, 0.8)), stats.laplace(0.5, 0.8).ppf),
    "traced": (DynamicScale(LENGTH), stats.norm.ppf),
}
FORMS: list[Callable[[Tensor, Prior], Tensor]] = [
    distances.wasserstein,
    lambda z, prior: distances.wasserstein(z, prior, 2),
    distances.energy,
    distances.lukaszyk_karmowski,
]
FORMS_TO_DRAWS: list[Callable[[Tensor, Tensor], Tensor]] = [
    distances.wasserstein_to_draws,
    lambda z, draws: distances.wasserstein_to_draws(z, draws, 2),
    distances.energy_to_draws,
    distances.lukaszyk_karmowski_to_draws,
]
PAIRS = list(zip(FORMS_TO_DRAWS, FORMS, strict=True))
NAMES = ["wasserstein", "wasserstein 2", "energy", "lukaszyk-karmowski"]


def codes(prior: Prior, scale: float = 1.0, n: int = 2, seed: int = 0) -> Tensor:
    return scale * prior.sample(n, torch.Generator().manual_seed(seed)).double()


def grid(quantile: Callable[[Array], Array], number: int) -> Array:
    return quantile((np.arange(number) + 0.5) / number)


def with_gradient(value: Tensor, z: Tensor) -> tuple[float, Tensor]:
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.item(), gradient


def quadratic(z: Array, quantile: Callable[[Array], Array]) -> float:
    """W₂ by quadrature over each cell, with u = 3t² - 2t³ so that points crowd at both ends."""
    t = (np.arange(5_000) + 0.5) / 5_000
    u, density = t * t * (3 - 2 * t), 6 * t * (1 - t)
    points = quantile((np.arange(len(z))[:, None] + u) / len(z))
    return float(np.sqrt(((np.sort(z)[:, None] - points) ** 2 * density).mean()))


@pytest.mark.parametrize("scale", [0.5, 1, 1.3])
@pytest.mark.parametrize("case", CASES)
def test_closed_forms_are_scipys(case: str, scale: float) -> None:
    prior, quantile = CASES[case]
    z = codes(prior, scale)
    found = [form(z, prior).numpy() for form in FORMS]
    points = grid(quantile, 200_000)
    expected = [
        [
            stats.wasserstein_distance(row, points),
            quadratic(row, quantile),
            stats.energy_distance(row, points),
            np.mean([np.abs(value - points).mean() for value in row]),
        ]
        for row in z.numpy()
    ]
    np.testing.assert_allclose(np.stack(found, 1), expected, atol=1e-5 * math.sqrt(prior.variance))


@pytest.mark.parametrize("case", ["normal", "half", "laplace"])
def test_gradients_are_those_of_scipys(case: str) -> None:
    prior, quantile = CASES[case]
    z = codes(prior, 1.2, n=1)[:, :6].requires_grad_()
    points, step = grid(quantile, 100_000), 1e-3
    for ours, theirs in [
        (distances.wasserstein, stats.wasserstein_distance),
        (distances.energy, stats.energy_distance),
    ]:
        (gradient,) = torch.autograd.grad(ours(z, prior).sum(), z)
        for i in range(z.shape[1]):
            moved = np.repeat(z.detach().numpy(), 2, 0)
            moved[:, i] += [step, -step]
            slope = (theirs(moved[0], points) - theirs(moved[1], points)) / (2 * step)
            assert gradient[0, i].item() == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_closed_forms_pass_gradcheck(form: Callable[..., Tensor], case: str) -> None:
    prior, _ = CASES[case]
    z = codes(prior, 1.3)[:, :9].requires_grad_()
    assert torch.autograd.gradcheck(lambda z: form(z, prior), z)


@pytest.mark.parametrize("form", [distances.bhattacharyya, distances.bhattacharyya_normal])
def test_normal_forms_pass_gradcheck(form: Callable[..., Tensor]) -> None:
    prior = Normal(5, 0.3, 1.7)
    assert torch.autograd.gradcheck(lambda z: form(z, prior), codes(prior).requires_grad_())


def test_bhattacharyya_is_as_printed() -> None:
    prior = Normal(4, 0.5, 2)
    z = codes(prior).numpy()
    expected = -np.log(np.exp(-(((z - 0.5) / 2) ** 2) / 4).sum(1))
    np.testing.assert_allclose(distances.bhattacharyya(torch.tensor(z), prior), expected, rtol=1e-9)
    # far away the sum underflows, its logarithm does not: (200 - 0.5)²/16 - log 4 in units of std 2
    far = distances.bhattacharyya(torch.full((1, 4), 200.0), prior)
    assert far.item() == pytest.approx(199.5**2 / 16 - math.log(4), rel=1e-5)


def test_bhattacharyya_normal_is_the_overlap() -> None:
    z = torch.tensor([[0.3, -1.2, 0.9, 2.0], [2.0, 2.5, 2.5, 2.0]], dtype=torch.float64)
    found = distances.bhattacharyya_normal(z, Normal(4, 0.5, 2))
    for row, value in zip(z.numpy(), found, strict=True):
        x = np.linspace(-20, 20, 100_001)
        densities = stats.norm.pdf(x, row.mean(), row.std()) * stats.norm.pdf(x, 0.5, 2)
        overlap = integrate.trapezoid(np.sqrt(densities), x)
        assert value.item() == pytest.approx(-math.log(overlap), abs=1e-8)
    # a code of mean 0.5 and variance 4 is where it should be
    there = torch.tensor([[-1.5, 2.5]], dtype=torch.float64)
    assert distances.bhattacharyya_normal(there, Normal(2, 0.5, 2)).item() == pytest.approx(0)


def test_forms_to_draws_are_scipys() -> None:
    random = np.random.default_rng(0)
    z, own = random.normal(size=(3, 7)), random.normal(0.2, 1.4, size=(3, 50))
    z[0, :3] = z[0, 3]  # equal elements
    z[1, :4] = own[1, :4]  # and some equal to draws
    for draws in (own, own[0]):
        each = np.broadcast_to(draws, (3, 50))
        expected = [
            [
                stats.wasserstein_distance(row, a),
                np.sqrt(((np.repeat(np.sort(row), 50) - np.repeat(np.sort(a), 7)) ** 2).mean()),
                stats.energy_distance(row, a),
                np.abs(row[:, None] - a).mean(),
            ]
            for row, a in zip(z, each, strict=True)
        ]
        found = [form(torch.tensor(z), torch.tensor(draws)).numpy() for form in FORMS_TO_DRAWS]
        np.testing.assert_allclose(np.stack(found, 1), expected, rtol=1e-12)


@pytest.mark.parametrize("form", FORMS_TO_DRAWS, ids=NAMES)
def test_forms_to_draws_pass_gradcheck(form: Callable[..., Tensor]) -> None:
    draws = codes(Normal(30), n=2, seed=3)
    z = codes(Normal(6), 1.3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: form(z, draws), z)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("sampled", "closed"), PAIRS, ids=NAMES)
def test_many_draws_come_to_the_closed_form(
    sampled: Callable[..., Tensor], closed: Callable[..., Tensor], case: str
) -> None:
    """With stratified draws, one in each of equally probable cells: their errors are small."""
    prior, _ = CASES[case]
    z = codes(prior, 1.1).requires_grad_()
    u = torch.rand(40_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = prior.icdf((torch.arange(40_000) + u) / 40_000)
    ours, theirs = closed(z, prior), sampled(z, draws)
    torch.testing.assert_close(theirs, ours, atol=2e-3, rtol=0)
    (slope,) = torch.autograd.grad(ours.sum(), z)
    (sampled_slope,) = torch.autograd.grad(theirs.sum(), z)
    torch.testing.assert_close(sampled_slope, slope, atol=2e-4, rtol=0)


def test_draws_are_constants() -> None:
    draws = torch.randn(20, requires_grad=True)
    for form in FORMS_TO_DRAWS:
        assert not form(torch.randn(2, 5), draws).requires_grad


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_float32_is_near_float64(form: Callable[..., Tensor]) -> None:
    for prior, _ in CASES.values():
        exact = codes(prior, 1.1)
        single, half = exact.float(), exact.bfloat16()
        assert form(single, prior).dtype == form(half, prior).dtype == torch.float32
        torch.testing.assert_close(
            form(single, prior).double(), form(exact, prior), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(form(half, prior), form(half.float(), prior), atol=0, rtol=0)


def test_draws_in_float32_are_near_float64() -> None:
    z, draws = codes(Normal(256)), codes(Normal(10_000), seed=1)
    for form in FORMS_TO_DRAWS:
        single = form(z.float(), draws.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), form(z, draws), atol=1e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_one_element_alone(case: str) -> None:
    """Of one element all are known from E|z - A|, and W₂² = (z - μ)² + σ²."""
    prior, quantile = CASES[case]
    z = torch.tensor([[0.4], [-7.0], [30.0]], dtype=torch.float64)
    far = np.abs(z.numpy() - grid(quantile, 200_000)).mean(1)
    w1, w2, energy, pairs = (form(z, prior) for form in FORMS)
    np.testing.assert_allclose(w1, far, atol=1e-5)
    np.testing.assert_allclose(pairs, far, atol=1e-5)
    np.testing.assert_allclose(energy**2, 2 * far - prior.mean_difference, atol=2e-5)
    torch.testing.assert_close(w2.square(), ((z - prior.mean).square() + prior.variance)[:, 0])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_and_equal_elements(case: str, dtype: torch.dtype) -> None:
    """All at x far above: W₁ and E|z - A| are x - μ, and each element is pulled alike."""
    prior, _ = CASES[case]
    z = torch.full((1, 4), 1000.0, dtype=dtype, requires_grad=True)
    for form in (distances.wasserstein, distances.lukaszyk_karmowski):
        value = form(z, prior)
        assert value.item() == pytest.approx(1000 - prior.mean, rel=1e-6)
        (slope,) = torch.autograd.grad(value.sum(), z)
        assert slope.tolist() == [[0.25] * 4]
    square = distances.energy(z, prior).square().item()
    assert square == pytest.approx(2 * (1000 - prior.mean) - prior.mean_difference, rel=1e-6)


def test_gradients_are_finite_where_a_distance_is_least() -> None:
    prior = Uniform(8)
    least = ((torch.arange(8, dtype=torch.float64) + 0.5)[None] / 4 - 1).requires_grad_()
    # |u - center| over a cell of width 1/8 on [-1, 1]: (2/8)/4, (2/8)²/12; energy 2∫(F-G)²
    expected = [1 / 16, math.sqrt(1 / 192), math.sqrt(2 * 2 / 8**2 / 12)]
    for form, value in zip(FORMS[:3], expected, strict=True):
        found, slope = with_gradient(form(least, prior), least)
        assert found == pytest.approx(value, rel=1e-12)
        torch.testing.assert_close(slope, torch.zeros_like(least), atol=1e-12, rtol=0)
    for sampled in FORMS_TO_DRAWS[1:3]:
        found, slope = with_gradient(sampled(least, least), least)
        assert found == pytest.approx(0, abs=1e-100)
        assert slope.tolist() == [[0.0] * 8]
    # ¼ m²/(s² + σ²) at s = 0, and m is the mean of four
    equal = torch.ones(1, 4, requires_grad=True)
    _, slope = with_gradient(distances.bhattacharyya_normal(equal, Normal(4)), equal)
    assert slope.tolist() == [[0.125] * 4]


def test_a_genuine_code_is_not_at_zero() -> None:
    """The mean W₁ of 256 normal elements is 0.080; of 51,200, all codes as one, near 0.006."""
    z = codes(Normal(256), n=200)
    assert distances.wasserstein(z, Normal(256)).mean().item() == pytest.approx(0.080, abs=0.004)
    assert distances.wasserstein(z.view(1, -1), Normal(256)).item() < 0.012


def test_refusals() -> None:
    z, prior = torch.zeros(2, 3), Normal(3)
    differ = Independent(3, dist.Laplace(torch.zeros(3), torch.ones(3)))
    for form in FORMS:
        with pytest.raises(InputError, match="Independent prior differ"):
            form(z, differ)
        with pytest.raises(InputError, match=r"floating-point codes of shape \(n, L\), got \(3,\)"):
            form(z[0], prior)
        with pytest.raises(InputError, match=r"got \(2, 0\)"):
            form(z[:, :0], prior)
        with pytest.raises(InputError, match=r"got \(2, 3\) of torch\.int64"):
            form(z.long(), prior)
    for sampled in FORMS_TO_DRAWS:
        for shape in ((), (0,), (3, 5), (2, 0), (1, 2, 5)):
            with pytest.raises(InputError, match="draws of shape"):
                sampled(z, torch.zeros(shape))
    for form in (distances.bhattacharyya, distances.bhattacharyya_normal):
        with pytest.raises(InputError, match="normal prior, got Uniform"):
            form(z, Uniform(3))
    with pytest.raises(InputError, match="got order 3"):
        distances.wasserstein(z, prior, 3)
    with pytest.raises(InputError, match="got order 0"):
        distances.wasserstein_to_draws(z, torch.zeros(4), 0)
    with pytest.raises(InputError, match="Gamma has no icdf"):
        distances.wasserstein(z, Independent(3, dist.Gamma(1.0, 1.0)))
