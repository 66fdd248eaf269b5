"""Measures of detection against scikit-learn, other published code, and known answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats
from sklearn import metrics

from lightning_gans import ood
from lightning_gans.errors import InputError

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats, Floats], float]


def scores(n: int, m: int, apart: float, decimals: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Normal ID scores (n,) and OOD scores (m,), rounded: the fewer decimals the more ties."""
    random = np.random.default_rng(seed)
    negative, positive = random.normal(size=n), random.normal(apart, 1.5, size=m)
    return negative.round(decimals), positive.round(decimals)


def together(negative: Floats, positive: Floats) -> tuple[Floats, Floats]:
    labels = np.repeat([0.0, 1.0], [len(negative), len(positive)])
    return labels, np.concatenate([negative, positive])


# imbalance both ways, ties of many, few and no scores, better and worse than chance
SAMPLES = [
    scores(500, 500, 1, 15),
    scores(700, 30, 1, 1),
    scores(20, 900, 0.5, 0, seed=1),
    scores(300, 200, -1, 0, seed=2),
    scores(1, 1, 0, 15),
    scores(5, 3, 0, -2),
    scores(100, 40, 20, 15),
]


@pytest.mark.parametrize("sample", SAMPLES)
def test_areas_are_scikit_learns(sample: tuple[Floats, Floats]) -> None:
    labels, values = together(*sample)
    assert ood.auroc(*sample) == pytest.approx(metrics.roc_auc_score(labels, values), abs=1e-12)
    expected = metrics.average_precision_score(labels, values)
    assert ood.aupr(*sample) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("tpr", [0.01, 0.3, 0.55, 0.8, 0.95, 1.0])
def test_false_alarms_are_scikit_learns(sample: tuple[Floats, Floats], tpr: float) -> None:
    labels, values = together(*sample)
    fprs, tprs, _ = metrics.roc_curve(labels, values, drop_intermediate=False)
    assert ood.fpr_at_tpr(*sample, tpr=tpr) == fprs[np.argmax(tprs >= tpr)]
    # with ID as the positive class, scores turned round
    fprs, tprs, _ = metrics.roc_curve(1 - labels, -values, drop_intermediate=False)
    assert ood.fpr_at_tpr(-sample[1], -sample[0], tpr) == fprs[np.argmax(tprs >= tpr)]


def test_false_alarms_by_hand() -> None:
    negative, positive = [0.0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [2.5] + [20.0] * 19
    assert ood.fpr_at_tpr(negative, positive) == 0  # 19 of 20 are 95 %
    assert ood.fpr_at_tpr(negative, positive, 0.951) == 0.7
    assert ood.fpr_at_tpr([*negative, 20.0], positive) == 1 / 11  # an equal score is an alarm


def test_the_area_by_hand() -> None:
    # of six pairs: 2>1, 2=2, 2<3, 5>1, 5>2, 5>3
    assert ood.auroc([1.0, 2, 3], [2.0, 5]) == 4.5 / 6
    assert ood.auroc(torch.tensor([1, 2, 3]), torch.tensor([2.0, 5]).half()) == 4.5 / 6
    assert ood.auroc([1.0, 2], [3.0]) == 1
    assert ood.auroc([3.0], [1.0, 2]) == 0
    assert ood.auroc([1.0] * 5, [1.0] * 3) == 0.5
    # the OOD scores are of rank 1 and 3: precisions 1 and 2/3, half of the recall each
    assert ood.aupr([1.0, 2, 3], [2.5, 5]) == pytest.approx((1 + 2 / 3) / 2)


def coarse(negative: Floats, positive: Floats, every: int) -> float:
    """The published evaluation, threshold by threshold."""
    points = [(0.0 + np.mean(negative > t), np.mean(positive > t)) for t in np.sort(negative)]
    kept = [*points[::-1][::every], (1.0, 1.0)]
    return float(metrics.auc(*zip(*kept, strict=True)))


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("every", [1, 7, 10])
def test_the_coarse_area_is_the_published_one(sample: tuple[Floats, Floats], every: int) -> None:
    assert ood.auroc_coarse(*sample, every) == pytest.approx(coarse(*sample, every), abs=1e-12)


def test_the_coarse_area_is_close_to_the_exact_one_of_many_scores() -> None:
    sample = scores(5000, 4000, 1, 15)
    assert ood.auroc_coarse(*sample) == pytest.approx(ood.auroc(*sample), abs=1e-3)
    assert ood.auroc_coarse(*sample) == ood.auroc_coarse(*sample, every=10)
    assert ood.auroc_coarse(*sample) != ood.auroc(*sample)


MEASURES: dict[str, Measure] = {
    "auroc": ood.auroc,
    "aupr": ood.aupr,
    "fpr": ood.fpr_at_tpr,
    "coarse": ood.auroc_coarse,
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_take_any_order_and_leave_their_input_alone(name: str) -> None:
    sample = scores(200, 100, 1, 1)
    before = [s.copy() for s in sample]
    value = MEASURES[name](*sample)
    for own, kept in zip(sample, before, strict=True):
        np.testing.assert_array_equal(own, kept)
    assert MEASURES[name](*(np.sort(s)[::-1] for s in sample)) == value
    tensors = [torch.tensor(s, requires_grad=True) for s in sample]
    assert MEASURES[name](*tensors) == value  # type: ignore[arg-type]
    # only the order of scores counts
    assert MEASURES[name](*(np.exp(s / 3) for s in sample)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", [*MEASURES, "bootstrap"])
def test_what_cannot_be_measured_is_refused_in_one_line(name: str) -> None:
    measure: Callable[..., object] = MEASURES.get(name, partial(ood.bootstrap, ood.auroc))
    for wrong, message in [
        ([], r"of shape \(n,\), at least one, got shape \(0,\)"),
        ([[1.0], [2.0]], r"of shape \(n,\), at least one, got shape \(2, 1\)"),
        (torch.tensor(1.0), r"of shape \(n,\), at least one, got shape \(\)"),
        ([0.0, math.nan, math.inf, -math.inf], "finite numbers, got 3 of 4"),
    ]:
        for side, pair in (("ID", (wrong, [1.0])), ("OOD", ([1.0], wrong))):
            with pytest.raises(InputError, match=f"expected {side} scores.*{message}") as caught:
                measure(*pair)
            assert "\n" not in str(caught.value)


def test_options_out_of_range_are_refused() -> None:
    for tpr in (0.0, 1.1, math.nan):
        with pytest.raises(InputError, match="true positive rate"):
            ood.fpr_at_tpr([1.0], [1.0], tpr)
    with pytest.raises(InputError, match="step of at least 1"):
        ood.auroc_coarse([1.0], [1.0], 0)
    for repetitions, level in ((0, 0.5), (10, 0.0), (10, 1.0), (10, 95)):
        with pytest.raises(InputError, match="repetition"):
            ood.bootstrap(ood.auroc, [1.0], [1.0], repetitions, level)


def test_the_bootstrap_of_a_mean_is_its_normal_interval() -> None:
    negative, positive = scores(400, 900, 1, 15)
    low, high = ood.bootstrap(
        lambda a, b: float(b.mean() - a.mean()), negative, positive, 4000, level=0.9
    )
    middle = positive.mean() - negative.mean()
    half = stats.norm.ppf(0.95) * math.sqrt(negative.var() / 400 + positive.var() / 900)
    assert (low + high) / 2 == pytest.approx(middle, abs=0.05 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


def test_the_bootstrap_covers_the_true_area_as_often_as_it_says() -> None:
    random, true, covered = np.random.default_rng(4), stats.norm.cdf(1 / math.sqrt(2)), 0
    for seed in range(150):
        sample = random.normal(size=80), random.normal(1, 1, size=60)
        low, high = ood.bootstrap(ood.auroc, *sample, repetitions=60, level=0.8, seed=seed)
        covered += low <= true <= high
    assert 0.71 < covered / 150 < 0.89  # 0.8, give or take 2.8 deviations


def test_the_bootstrap_draws_both_sides_anew_and_keeps_their_sizes() -> None:
    negative, positive = scores(30, 50, 1, 15)
    seen: list[tuple[Floats, Floats]] = []

    def remember(a: Floats, b: Floats) -> float:
        seen.append((a.copy(), b.copy()))
        return 0.0

    ood.bootstrap(remember, negative, positive, repetitions=40)
    assert len(seen) == 40
    for side, own in enumerate((negative, positive)):
        drawn = [pair[side] for pair in seen]
        assert all(len(d) == len(own) and set(d) <= set(own) for d in drawn)
        # with replacement, 1 - 1/e of a sample's scores are met
        assert 0.55 < np.mean([len(set(d)) for d in drawn]) / len(own) < 0.72
        assert len({tuple(np.sort(d)) for d in drawn}) == 40


def test_the_bootstrap_is_reproducible_and_quick() -> None:
    sample = scores(200, 100, 1, 15)
    first = ood.bootstrap(ood.auroc, *sample, repetitions=100)
    assert first == ood.bootstrap(ood.auroc, *sample, repetitions=100, seed=0)
    assert first != ood.bootstrap(ood.auroc, *sample, repetitions=100, seed=1)
    low, high = ood.bootstrap(ood.auroc, *sample, repetitions=100, level=0.5)
    assert first[0] < low < ood.auroc(*sample) < high < first[1]
    large, start = scores(10_000, 10_000, 1, 15), time.process_time()
    ood.bootstrap(ood.auroc, *large, repetitions=100)
    assert time.process_time() - start < 4  # all pairs would take a minute
