"""What holds for any distribution of conditions, whatever its classes and probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lightning_gans.errors import InputError
from lightning_gans.labels import classes_of, harden, indices, one_hot, softmax, split
from lightning_gans.priors import Categorical, Categories, GumbelSoftmax

classes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
weights = st.lists(st.floats(0.01, 1), min_size=15, max_size=15)
seeds = st.integers(0, 99)


def given_probabilities(kinds: tuple[int, ...], values: list[float]) -> list[float]:
    """Of sum 1 for each label."""
    found: list[float] = []
    for size in kinds:
        part = values[len(found) : len(found) + size]
        found += [value / sum(part) for value in part]
    return found


def distributions(kinds: tuple[int, ...], values: list[float]) -> list[Categories]:
    """One of each class, with the same probabilities."""
    p = given_probabilities(kinds, values)
    gumbel = GumbelSoftmax(kinds, temperature=0.5)
    with torch.no_grad():
        gumbel.logits.copy_(torch.tensor(p).log())
    return [Categorical(kinds, p), gumbel]


@given(classes, weights, seeds)
def test_probabilities_of_each_label_add_up_and_draws_choose_one_class(
    kinds: tuple[int, ...], values: list[float], seed: int
) -> None:
    expected = torch.tensor(given_probabilities(kinds, values))
    for categories in distributions(kinds, values):
        torch.testing.assert_close(categories.probabilities, expected)
        drawn = categories.sample(6, torch.Generator().manual_seed(seed)).detach()
        again = categories.sample(6, torch.Generator().manual_seed(seed)).detach()
        assert torch.equal(drawn, again)
        assert drawn.shape == (6, sum(kinds))
        for part in split(drawn, kinds):
            torch.testing.assert_close(part.sum(1), torch.ones(6))
            assert (part >= 0).all()
            if isinstance(categories, Categorical):
                assert set(part.flatten().tolist()) <= {0.0, 1.0}


@given(classes, weights)
def test_the_entropy_is_that_of_the_labels_and_largest_if_classes_are_alike(
    kinds: tuple[int, ...], values: list[float]
) -> None:
    for categories in distributions(kinds, values):
        parts = split(categories.probabilities.double(), kinds)
        expected = sum(float(stats.entropy(part.numpy())) for part in parts)
        assert float(categories.entropy()) == pytest.approx(expected, abs=1e-5)
        most = sum(math.log(size) for size in kinds)
        assert float(categories.entropy()) <= most + 1e-5
        assert float(type(categories)(kinds).entropy()) == pytest.approx(most, abs=1e-5)


@given(classes, weights, st.floats(0, 0.99), seeds)
def test_a_running_mean_of_probabilities_stays_one(
    kinds: tuple[int, ...], values: list[float], decay: float, seed: int
) -> None:
    categories = Categorical(kinds, given_probabilities(kinds, values), decay)
    before = categories.probabilities.clone()
    random = torch.Generator().manual_seed(seed)
    predicted = softmax(torch.randn(7, sum(kinds), generator=random), kinds)
    categories.start_update(predicted)()
    expected = decay * before + (1 - decay) * predicted.mean(0)
    torch.testing.assert_close(categories.probabilities, expected)
    for part in split(categories.probabilities, kinds):
        assert float(part.sum()) == pytest.approx(1, abs=1e-5)


@given(classes, seeds)
def test_class_indices_survive_as_conditions(kinds: tuple[int, ...], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    y = torch.stack([torch.randint(0, size, (5,), generator=random) for size in kinds], 1)
    conditions = one_hot(y, kinds)
    assert torch.equal(indices(conditions, kinds), y)
    assert torch.equal(harden(conditions, kinds), conditions)
    assert torch.equal(Categorical(kinds).condition(y, 5), conditions)
    assert torch.equal(GumbelSoftmax(kinds).condition(y[0], 3), conditions[:1].expand(3, -1))
    found = classes_of(conditions, kinds)
    assert torch.equal(found, y[:, 0] if len(kinds) == 1 else y)


@given(classes, st.integers(-3, 9), st.integers(0, 2))
def test_a_class_that_does_not_exist_is_refused(
    kinds: tuple[int, ...], category: int, label: int
) -> None:
    label = min(label, len(kinds) - 1)
    y = torch.zeros(2, len(kinds), dtype=torch.long)
    y[1, label] = category
    if 0 <= category < kinds[label]:
        assert one_hot(y, kinds).sum() == 2 * len(kinds)
        return
    with pytest.raises(InputError, match=f"of label {label}"):
        one_hot(y, kinds)
