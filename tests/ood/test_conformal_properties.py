"""What p-values keep, whatever the scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from lightning_gans.ood.conformal import alarm_threshold, fisher, pvalues, rank_sum


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
