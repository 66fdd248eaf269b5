"""What constraints keep, whatever the codes and the prior."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from lightning_gans.inversion.constraints import (
    BoundaryResampling,
    HardCutoff,
    LogisticCutoff,
    Resampling,
    TruncatedNormalCutoff,
    TypicalBall,
)
from lightning_gans.inversion.typical import Companions, Typicality, by_rank
from lightning_gans.priors import HalfUniformHalfNormal, Normal, Prior, Uniform

LENGTH = 4
row = st.lists(st.floats(-30, 30), min_size=LENGTH, max_size=LENGTH)
codes = st.lists(row, min_size=1, max_size=5).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64)
)
normals = st.builds(Normal, st.just(LENGTH), st.floats(-3, 3), st.floats(0.1, 4))
bounded: st.SearchStrategy[Prior] = st.one_of(
    st.builds(
        lambda low, width: Uniform(LENGTH, low, low + width), st.floats(-4, 3), st.floats(1, 5)
    ),
    st.just(HalfUniformHalfNormal(LENGTH)),
)
deviations = st.floats(0, 4)
positive = st.floats(0.1, 4)
cutoffs: st.SearchStrategy[HardCutoff | LogisticCutoff | TruncatedNormalCutoff] = st.one_of(
    st.builds(HardCutoff, positive),
    st.builds(LogisticCutoff, positive, st.floats(0, 4), st.booleans()),
    st.builds(TruncatedNormalCutoff, positive, st.booleans()),
)
seeds = st.integers(0, 99)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def project(z: Tensor, prior: Prior, ball: TypicalBall) -> Tensor:
    return ball.apply(z, prior, 1, random(0))[0]


@given(codes, normals, deviations)
def test_a_projection_lands_in_the_ball_and_a_second_one_moves_nothing(
    z: Tensor, prior: Normal, k: float
) -> None:
    ball = TypicalBall(k)
    limit = LENGTH + k * math.sqrt(2 * LENGTH)
    moved = project(z, prior, ball)
    t = (moved - prior.mean) / math.sqrt(prior.variance)
    assert (t.square().sum(1) <= limit * (1 + 1e-9)).all()
    torch.testing.assert_close(project(moved, prior, ball), moved, rtol=1e-9, atol=1e-9)
    inside = ((z - prior.mean) / math.sqrt(prior.variance)).square().sum(1) <= limit
    assert torch.equal(moved[inside], z[inside])
    # no farther than to the surface
    reached = t[~inside].square().sum(1)
    torch.testing.assert_close(reached, torch.full_like(reached, limit), rtol=1e-9, atol=1e-9)


@given(codes, codes, normals, deviations)
def test_no_other_point_of_the_ball_is_nearer(
    z: Tensor, others: Tensor, prior: Normal, k: float
) -> None:
    ball = TypicalBall(k)
    nearest, within = project(z, prior, ball), project(others, prior, ball)
    for code, found in zip(z, nearest, strict=True):
        apart = torch.linalg.vector_norm(code - found)
        assert (apart <= torch.linalg.vector_norm(code - within, dim=1) + 1e-9).all()


@given(codes, bounded, seeds)
def test_after_a_redraw_every_element_is_within_the_bounds(
    z: Tensor, prior: Prior, seed: int
) -> None:
    boundary, generator = BoundaryResampling(), random(seed)
    low, high = prior.support
    found, drawn = boundary.apply(z, prior, 7, generator)
    assert ((found >= low) & (found <= high)).all()
    assert torch.equal(drawn, (z < low) | (z > high))
    assert torch.equal(found[~drawn], z[~drawn])
    again, redrawn = boundary.apply(found, prior, 7, generator)
    assert torch.equal(again, found)
    assert not redrawn.any()


@given(codes, normals, cutoffs)
def test_a_farther_element_is_at_least_as_likely_to_be_redrawn_on_either_side(
    z: Tensor, prior: Normal, cutoff: Resampling
) -> None:
    far = (z - prior.mean).abs().flatten().sort().values[None]
    p = cutoff.probability(prior.mean + far, prior)
    assert ((p >= 0) & (p <= 1)).all()
    assert (p.diff() >= -1e-12).all()
    # below the mean as above it, up to the rounding of an edge
    below = cutoff.probability(prior.mean - far * (1 - 1e-12), prior)
    above = cutoff.probability(prior.mean + far * (1 + 1e-12), prior)
    assert (below <= above + 1e-12).all()
    assert torch.allclose(
        cutoff.probability(prior.mean + far * 1.1 + 0.01, prior),
        cutoff.probability(prior.mean - far * 1.1 - 0.01, prior),
    )


@given(codes, normals, cutoffs, st.integers(1, 50), seeds)
def test_what_is_not_redrawn_stays_and_what_is_redrawn_is_a_draw(
    z: Tensor, prior: Normal, cutoff: Resampling, steps: int, seed: int
) -> None:
    before = z.clone()
    found, drawn = cutoff.apply(z, prior, steps, random(seed))
    fresh = prior.sample(len(z), random(seed)).to(z)
    assert torch.equal(z, before), "codes are not modified"
    assert torch.equal(found, torch.where(drawn, fresh, z))
    always = cutoff.probability(z, prior) == 1
    assert drawn[always].all()
    assert not drawn[cutoff.probability(z, prior) == 0].any()


@given(codes, bounded | normals, seeds)
def test_codes_are_moved_no_farther_than_to_the_edge_of_what_draws_reach(
    z: Tensor, prior: Prior, seed: int
) -> None:
    drawn = Companions.draw(prior, len(z), random(seed))
    companions = Companions(drawn.values.double(), drawn.most.double())
    moved = companions.project(z)
    for before, after, companion, most in zip(z, moved, *companions, strict=True):
        far = stats.wasserstein_distance(before, companion)
        found = stats.wasserstein_distance(after, companion)
        assert found == pytest.approx(min(far, float(most)), rel=1e-6, abs=1e-9)
        # the shortest way: what is left and what was moved add up to the whole
        step = stats.wasserstein_distance(before, after)
        assert step + found == pytest.approx(far, rel=1e-6, abs=1e-9)
    torch.testing.assert_close(companions.project(moved), moved, rtol=1e-6, atol=1e-6)


@given(codes, bounded | normals, seeds)
def test_a_batch_that_is_kept_typical_has_the_elements_of_a_genuine_one(
    z: Tensor, prior: Prior, seed: int
) -> None:
    typical = Typicality(prior, len(z), random(seed))
    kept = typical.project(z.float())
    assert torch.equal(kept.flatten().sort().values, typical.pooled.flatten())
    assert torch.equal(typical.match(kept), kept)


@given(codes)
def test_elements_are_exchanged_for_values_of_the_same_rank(z: Tensor) -> None:
    values = torch.arange(float(LENGTH), dtype=torch.float64).expand(len(z), -1).contiguous()
    placed = by_rank(z, values)
    assert torch.equal(placed.sort(1).values, values)
    for before, after in zip(z, placed, strict=True):
        order = after.argsort()
        assert (before[order].diff() >= 0).all()
