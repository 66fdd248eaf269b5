"""Criteria of resampling: the formulas of (Egan 2018, section 3.2) by numpy, and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from lightning_gans.inversion.constraints import Resampling
from lightning_gans.reproduce.criteria import draw, probabilities

SIZES = np.arange(9) / 2
NAMES = ["at_0", "at_0_5", "at_1", "at_1_5", "at_2", "at_2_5", "at_3", "at_3_5", "at_4"]


def test_the_logistic_criterion_is_scipys_logistic_distribution() -> None:
    found = probabilities("a", "logistic", (3.0, 2.5), 50)
    expected = stats.logistic.cdf(SIZES, loc=2.5, scale=1 / 3)
    assert [found[f"a.{name}"] for name in NAMES] == pytest.approx(expected)
    assert found["a.below"] == pytest.approx(0.5, abs=1e-5)
    assert found["a.asymmetry"] == 0


def test_the_truncated_normal_criterion_is_a_ratio_of_densities_up_to_1() -> None:
    found = probabilities("b", "truncated_normal", (2.75,), 50)
    expected = np.minimum(stats.norm.pdf(2.75) / stats.norm.pdf(SIZES), 1)
    assert [found[f"b.{name}"] for name in NAMES] == pytest.approx(expected)
    assert 0.9999 < found["b.below"] < 1
    assert found["b.above"] == 1


@pytest.mark.parametrize(
    ("criterion", "parameters"), [("logistic", (2, 2)), ("truncated_normal", (3,))]
)
def test_elements_are_drawn_again_as_often_as_the_criterion_says(
    criterion: Any, parameters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert probabilities("c", criterion, parameters, 60)["c.off"] < 0.03
    # the whole probability in each step is drawn far too often
    made = Resampling.apply
    monkeypatch.setattr(Resampling, "apply", lambda self, z, p, n, r: made(self, z, p, 1, r))
    assert probabilities("c", criterion, parameters, 60)["c.off"] > 0.3


@pytest.mark.figures
def test_curves_are_drawn_where_the_probability_is() -> None:
    path = Path("curve.png")
    draw(path, "logistic", ((30.0, 2.0),))
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (abs(pixels - (31, 119, 180)).sum(2) < 30).nonzero()
    # a steep curve: low in its left half, high in its right one
    middle = (blue[1].min() + blue[1].max()) / 2
    assert np.median(blue[0][blue[1] < middle - 20]) > np.median(blue[0][blue[1] > middle + 60])
    draw(Path("three.png"), "truncated_normal", ((2.0,), (3.0,), (3.75,)))
    assert (
        len(set(map(tuple, np.asarray(Image.open("three.png").convert("RGB")).reshape(-1, 3)))) > 3
    )
