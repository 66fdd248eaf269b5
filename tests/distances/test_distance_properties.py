"""Laws that the distances between codes and priors keep, whatever the code."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from lightning_gans.distances import (
    bhattacharyya,
    bhattacharyya_normal,
    energy,
    energy_to_draws,
    lukaszyk_karmowski,
    lukaszyk_karmowski_to_draws,
    wasserstein,
    wasserstein_to_draws,
)
from lightning_gans.priors import Normal, Prior, Uniform

Distance = Callable[[Tensor, Prior], Tensor]
ToDraws = Callable[[Tensor, Tensor], Tensor]


def second_order(z: Tensor, prior: Prior) -> Tensor:
    return wasserstein(z, prior, order=2)


elements = st.lists(st.floats(-8, 8), min_size=1, max_size=12)
codes = elements.map(lambda values: torch.tensor([values], dtype=torch.float64))
samples = st.lists(st.floats(-8, 8), min_size=6, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)
priors = st.sampled_from([Normal(3), Normal(3, 1.5, 0.2), Uniform(3), Uniform(3, -4, 7)])
DISTANCES = [wasserstein, second_order, energy]
ALL = [*DISTANCES, lukaszyk_karmowski]


@pytest.mark.parametrize("distance", ALL)
@given(codes, priors)
def test_no_distance_is_negative_and_the_order_of_elements_does_not_matter(
    distance: Distance, z: Tensor, prior: Prior
) -> None:
    assert distance(z, prior) >= 0
    torch.testing.assert_close(distance(z.flip(1), prior), distance(z, prior))


@pytest.mark.parametrize("distance", ALL)
@given(codes, st.floats(0.1, 5), st.floats(-3, 3))
def test_a_change_of_unit_changes_the_distance_alike(
    distance: Distance, z: Tensor, unit: float, shift: float
) -> None:
    changed = distance(unit * z + shift, Normal(3, shift, unit))
    factor = math.sqrt(unit) if distance is energy else unit
    torch.testing.assert_close(changed, factor * distance(z, Normal(3)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("distance", ALL)
@given(codes, st.integers(2, 4))
def test_a_code_repeated_is_the_same_sample(distance: Distance, z: Tensor, times: int) -> None:
    again = distance(z.repeat(1, times), Normal(3))
    torch.testing.assert_close(again, distance(z, Normal(3)), rtol=1e-6, atol=1e-6)


@given(codes, priors)
def test_the_second_order_is_at_least_the_first(z: Tensor, prior: Prior) -> None:
    assert second_order(z, prior) >= wasserstein(z, prior) - 1e-6


@pytest.mark.parametrize("distance", DISTANCES)
@given(codes, codes)
def test_codes_that_are_close_have_distances_that_are_close(
    distance: Distance, z: Tensor, other: Tensor
) -> None:
    """By the triangle: codes of equal length differ by at most their distance from each other."""
    length = min(z.shape[1], other.shape[1])
    z, other = z[:, :length], other[:, :length]
    apart = z.sort(1).values - other.sort(1).values
    between: dict[Distance, Tensor] = {
        wasserstein: apart.abs().mean(),
        second_order: apart.square().mean().sqrt(),
        energy: (2 * apart.abs().mean()).sqrt(),  # (F - G)² is at most |F - G|
    }
    gap = (distance(z, Normal(3)) - distance(other, Normal(3))).abs()
    assert gap <= between[distance] + 1e-6


@pytest.mark.parametrize("distance", [wasserstein_to_draws, energy_to_draws])
@given(samples, samples, samples)
def test_distances_between_samples_are_metrics(
    distance: ToDraws, a: Tensor, b: Tensor, c: Tensor
) -> None:
    def between(x: Tensor, y: Tensor) -> float:
        return float(distance(x[None], y))

    assert between(a, a) == pytest.approx(0, abs=1e-6)
    assert between(a, b) == pytest.approx(between(b, a), abs=1e-6)
    assert between(a, c) <= between(a, b) + between(b, c) + 1e-6
    if (a.sort().values - b.sort().values).abs().max() > 1e-3:
        assert between(a, b) > 0


@given(codes)
def test_a_normals_overlap_is_not_negative(z: Tensor) -> None:
    assert bhattacharyya_normal(z, Normal(3)) >= -1e-9


@given(codes, elements)
def test_distances_between_samples_of_any_sizes_are_scipys(z: Tensor, values: list[float]) -> None:
    draws = torch.tensor(values, dtype=torch.float64)
    a, b = z[0].numpy(), draws.numpy()
    expected = {
        wasserstein_to_draws: stats.wasserstein_distance(a, b),
        energy_to_draws: stats.energy_distance(a, b),
        lukaszyk_karmowski_to_draws: abs(a[:, None] - b).mean(),
    }
    for distance, value in expected.items():
        assert float(distance(z, draws)) == pytest.approx(value, abs=1e-7)


TO_DRAWS = [wasserstein_to_draws, energy_to_draws, lukaszyk_karmowski_to_draws]


@pytest.mark.parametrize("distance", TO_DRAWS)
@given(codes, samples, st.floats(0.1, 5), st.floats(-3, 3))
def test_a_change_of_unit_changes_the_distance_to_draws_alike(
    distance: ToDraws, z: Tensor, draws: Tensor, unit: float, by: float
) -> None:
    changed = distance(unit * z + by, unit * draws + by)
    factor = math.sqrt(unit) if distance is energy_to_draws else unit
    # the root of a sum that rounds to 1e-16 is 1e-8
    torch.testing.assert_close(changed, factor * distance(z, draws), rtol=1e-6, atol=1e-6)
    mirrored = distance(-z, -draws)
    torch.testing.assert_close(mirrored, distance(z, draws), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("distance", TO_DRAWS)
@given(codes, samples, st.randoms(use_true_random=False))
def test_the_order_of_elements_and_draws_does_not_matter(
    distance: ToDraws, z: Tensor, draws: Tensor, shuffle: Random
) -> None:
    order = list(range(len(draws)))
    shuffle.shuffle(order)
    torch.testing.assert_close(distance(z.flip(1), draws[order]), distance(z, draws))
    own = draws[None].expand(len(z), -1)
    torch.testing.assert_close(distance(z, own), distance(z, draws))


@pytest.mark.parametrize(
    ("closed", "to_draws"), [(wasserstein, wasserstein_to_draws), (energy, energy_to_draws)]
)
@given(codes, samples, priors)
def test_a_way_past_a_sample_of_draws_is_no_shorter(
    closed: Distance,
    to_draws: ToDraws,
    z: Tensor,
    by: Tensor,
    prior: Prior,
) -> None:
    way = to_draws(z, by) + closed(by[None], prior)
    assert closed(z, prior) <= way + 1e-6
    assert to_draws(z, by) <= closed(z, prior) + closed(by[None], prior) + 1e-6


@given(codes, priors)
def test_no_distance_is_less_than_that_of_the_means(z: Tensor, prior: Prior) -> None:
    apart = (z.mean(1) - prior.mean).abs()
    assert wasserstein(z, prior) >= apart - 1e-6
    assert lukaszyk_karmowski(z, prior) >= wasserstein(z, prior) - 1e-6


@given(codes, st.floats(0.1, 5), st.floats(-3, 3))
def test_a_normals_overlap_has_no_unit_and_no_order(z: Tensor, unit: float, shift: float) -> None:
    for distance in (bhattacharyya, bhattacharyya_normal):
        value = distance(z, Normal(3))
        torch.testing.assert_close(distance(z.flip(1), Normal(3)), value, rtol=1e-6, atol=1e-6)
        if float(z.std(1, correction=0)) > 1e-3:  # otherwise rounding is the variance
            changed = distance(unit * z + shift, Normal(3, shift, unit))
            torch.testing.assert_close(changed, value, rtol=1e-4, atol=1e-6)
