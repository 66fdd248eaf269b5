"""Laws that the distances between codes and priors keep, whatever the code."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_gans.distances import (
    bhattacharyya_normal,
    energy,
    energy_to_draws,
    lukaszyk_karmowski,
    wasserstein,
    wasserstein_to_draws,
)
from lightning_gans.priors import Normal, Prior, Uniform

Distance = Callable[[Tensor, Prior], Tensor]


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
    distance: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, c: Tensor
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
