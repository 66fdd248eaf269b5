"""What p-values keep, whatever the scores."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from lightning_gans.ood.conformal import (
    ConformalDetector,
    alarm_threshold,
    fisher,
    pvalues,
    rank_sum,
)


def tensor(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64) / 8


# few values, so that many are equal
scores = st.lists(st.integers(-40, 40), min_size=1, max_size=30).map(tensor)


@given(scores, scores)
def test_pvalues_count_the_held_out_scores_that_are_as_high(x: Tensor, held_out: Tensor) -> None:
    p = pvalues(x, held_out)
    plain = [(1 + sum(float(h) >= float(s) for h in held_out)) / (1 + len(held_out)) for s in x]
    assert p.tolist() == pytest.approx(plain)


@given(scores)
def test_an_image_like_the_others_has_a_low_pvalue_no_more_often_than_it_says(
    exchangeable: Tensor,
) -> None:
    """Each image in turn against the rest: exact for any scores, with equal ones too."""
    assume(len(exchangeable) > 1)
    n = len(exchangeable)
    p = torch.cat(
        [
            pvalues(exchangeable[i : i + 1], torch.cat([exchangeable[:i], exchangeable[i + 1 :]]))
            for i in range(n)
        ]
    )
    for k in range(1, n + 1):
        assert int((p <= k / n + 1e-12).sum()) <= k


@given(scores, scores, st.floats(0.02, 0.9))
def test_an_alarm_is_a_pvalue_of_at_most_the_rate(x: Tensor, held_out: Tensor, rate: float) -> None:
    assume(1 / (1 + len(held_out)) <= rate)
    threshold = alarm_threshold(held_out, rate)
    assert threshold in held_out.tolist()
    assert torch.equal(x > threshold, pvalues(x, held_out) <= rate)


@given(scores, scores)
def test_only_the_order_of_scores_matters(x: Tensor, held_out: Tensor) -> None:
    assert torch.equal(pvalues(x, held_out), pvalues(x.exp(), held_out.exp()))


@given(scores, scores)
def test_a_higher_score_is_never_less_anomalous(x: Tensor, held_out: Tensor) -> None:
    x = x.sort().values
    for combine in (rank_sum, fisher):
        assert (combine([x, x], [held_out, held_out]).diff() >= 0).all()


@given(scores, scores)
def test_a_pvalue_is_above_0_at_most_1_and_falls_as_the_score_rises(
    x: Tensor, held_out: Tensor
) -> None:
    p = pvalues(x.sort().values, held_out)
    assert (p.diff() <= 0).all()
    assert (p >= 1 / (1 + len(held_out)) - 1e-12).all()
    assert (p <= 1).all()
    assert torch.equal(pvalues(x, held_out), pvalues(x, held_out.flip(0)))
    beyond = torch.tensor([float(held_out.min()) - 1, float(held_out.max()) + 1])
    assert pvalues(beyond, held_out).tolist() == pytest.approx([1, 1 / (1 + len(held_out))])


@given(st.lists(st.integers(0, 4), min_size=2, max_size=6).map(tensor))
def test_over_all_orders_of_images_a_low_pvalue_is_as_rare_as_it_says(images: Tensor) -> None:
    """P(p ≤ α) ≤ α, exactly, and with equality where no scores are equal."""
    orders = list(itertools.permutations(images.tolist()))
    p = [float(pvalues(tensor_of(order[:1]), tensor_of(order[1:]))) for order in orders]
    n = len(images)
    for k in range(1, n + 1):
        share = sum(value <= k / n + 1e-12 for value in p) / len(orders)
        assert share <= k / n + 1e-12
        if len(set(images.tolist())) == n:
            assert share == pytest.approx(k / n)


def tensor_of(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(st.lists(st.tuples(*[st.integers(-40, 40)] * 3), min_size=4, max_size=30), st.data())
def test_a_verdict_is_the_same_by_score_and_by_pvalue(
    rows: list[tuple[int, ...]], data: st.DataObject
) -> None:
    kinds = data.draw(st.integers(1, 3))
    held_out = {f"score {i}": tensor([row[i] for row in rows]) for i in range(kinds)}
    compared = len(rows) if kinds == 1 else math.ceil(len(rows) / 2)
    rate = data.draw(st.floats(1 / (1 + compared), 0.9))
    assume(rate * (1 + compared) >= 1)
    detector = ConformalDetector(held_out, rate)
    scores, p, is_ood = detector(held_out)
    assert len(detector.reference) == compared
    assert torch.equal(is_ood, p <= rate)
    assert torch.equal(is_ood, scores > detector.threshold)
    assert torch.equal(p, pvalues(scores, detector.reference))
    again = ConformalDetector(held_out, rate)(held_out)
    assert torch.equal(again.pvalues, p), "the halves are always the same"
    # its own references are no more often OOD than they may be
    assert int((detector.reference > detector.threshold).sum()) <= rate * (1 + compared) - 1 + 1e-9
