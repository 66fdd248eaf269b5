"""Claims are judged as statistics would, and a claim's text runs no code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from lightning_gans.errors import UsageError
from lightning_gans.reproduce.predicate import Predicate, Verdict, margin_test, spread

NAMES = ["a", "b", "near.x.dls", "near.y.dls", "near.x.info", "fid.mean"]


def verdict(text: str, *seeds: dict[str, float], exact: bool = False) -> Verdict:
    return Predicate(text, NAMES, exact).judge(seeds).verdict


@pytest.mark.parametrize("shift", [-3.0, -0.9, 0.0, 0.4, 0.9, 3.0])
def test_a_verdict_is_that_of_a_paired_t_test(shift: float) -> None:
    random = np.random.default_rng(0)
    seen = set()
    for _ in range(50):
        b = random.normal(5, 10, size=5)
        a = b + shift + random.normal(0, 1, size=5)
        test = ttest_1samp(a - b, 0)
        expected = Verdict.UNTOLD
        if test.pvalue < 0.05:
            expected = Verdict.HOLDS if test.statistic > 0 else Verdict.FAILS
        seeds = [{"a": x, "b": y} for x, y in zip(a, b, strict=True)]
        assert verdict("a > b", *seeds) is expected
        assert verdict("b < a", *seeds) is expected
        seen.add(expected)
    assert len(seen) > 1 or abs(shift) > 2


def test_three_seeds_need_a_margin_of_two_and_a_half_deviations() -> None:
    # 4.303 / sqrt(3) = 2.484
    spread = [-1.0, 0.0, 1.0]
    assert margin_test([2.49 + x for x in spread]) is True
    assert margin_test([2.47 + x for x in spread]) is None
    assert margin_test([-2.49 + x for x in spread]) is False


def test_nothing_of_a_predicate_is_a_comment() -> None:
    with pytest.raises(UsageError, match="# begins no comment"):
        Predicate("a > 4 # and b > 4", ["a", "b"])


def test_one_seed_tells_nothing_unless_the_claim_is_exact() -> None:
    assert verdict("a > b", {"a": 9, "b": 0}) is Verdict.ONE_SEED
    assert verdict("a > b", {"a": 9, "b": 0}, exact=True) is Verdict.HOLDS
    assert verdict("a == 4", {"a": 3}, exact=True) is Verdict.FAILS
    assert verdict("a > b") is Verdict.UNTOLD


def test_an_exact_claim_is_about_every_run() -> None:
    found = Predicate("a == 4", NAMES, exact=True).judge([{"a": 4.0}, {"a": 5.0}, {"a": 4.0}])
    assert found.verdict is Verdict.FAILS
    assert found.evidence[0] == "true for 2 of 3 seeds"


def test_equal_repeats_are_compared_as_they_are_and_ties_tell_nothing() -> None:
    same = [{"a": 1.0, "b": 1.0}] * 3
    assert verdict("a > b", *same) is Verdict.UNTOLD
    assert verdict("a >= b", *same) is Verdict.HOLDS
    assert verdict("a + 1 > b", *same) is Verdict.HOLDS
    assert verdict("a - 1 > b", *same) is Verdict.FAILS


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_value_that_is_not_finite_cannot_be_told(wrong: float) -> None:
    seeds = [{"a": 9.0, "b": 0.0}, {"a": wrong, "b": 0.0}, {"a": 9.0, "b": 0.0}]
    assert verdict("a > b", *seeds) is Verdict.UNTOLD
    assert verdict("max(a, b) > 1", *seeds) is Verdict.UNTOLD
    assert verdict("a > b", *seeds, exact=True) is Verdict.UNTOLD
    assert verdict("a > b", {"b": 0.0}, {"b": 0.0}) is Verdict.UNTOLD


def test_parts_are_joined_as_in_logic_of_three_values() -> None:
    seeds = [{"a": 9.0 + x, "b": 0.1 * x, "fid.mean": 20 * (-1) ** x} for x in (0, 1, 2)]
    true, false, unknown = "a > 1", "a < 1", "fid.mean > 0"
    assert [verdict(t, *seeds) for t in (true, false, unknown)] == [
        Verdict.HOLDS,
        Verdict.FAILS,
        Verdict.UNTOLD,
    ]
    assert verdict(f"{true} and {unknown}", *seeds) is Verdict.UNTOLD
    assert verdict(f"{false} and {unknown}", *seeds) is Verdict.FAILS
    assert verdict(f"{true} or {unknown}", *seeds) is Verdict.HOLDS
    assert verdict(f"{false} or {unknown}", *seeds) is Verdict.UNTOLD
    assert verdict("1 < a < 20", *seeds) is Verdict.HOLDS
    assert verdict("20 > a > 10.5", *seeds) is Verdict.UNTOLD


def test_arithmetic_and_patterns_have_their_usual_values() -> None:
    seed = {"near.x.dls": 80.0, "near.y.dls": 60.0, "near.x.info": 50.0, "a": 2.0, "b": -3.0}
    for text in (
        "min(near.*.dls) == 60",
        "max(near.x.*, 1) == 80",
        "mean(near.*.dls) - near.x.info == 20",
        "mean(near.*.*) * a == (80+60+50) / 3 * 2",
        "max(*.x.info) == 50",
        "abs(b) == 3 and -b + a == 5 and 2.5e1 * a == 50",
    ):
        assert verdict(text, seed, exact=True) is Verdict.HOLDS, text
    assert verdict("a / (a - 2) > 0", seed, exact=True) is Verdict.UNTOLD


def test_the_evidence_says_both_sides_and_the_margin() -> None:
    seeds = [{"a": 80.0 + x, "b": 60.0 - x} for x in (-1, 0, 1)]
    (line,) = Predicate("a > b + 2", NAMES).judge(seeds).evidence
    assert line == "a = 80 ± 1 > b + 2 = 62 ± 1; margin 18 (95 %: 13.03 to 22.97)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('x') > 1", "there is no value '__import__'"),
        ("a.__class__ > 1", "there is no value 'a.__class__'"),
        ("c > 1", "there is no value 'c'"),
        ("near.*.nothing > 1", "there is no value 'near.*.nothing'"),
        ("a", "expected a comparison"),
        ("a + b", "expected a comparison"),
        ("near.*.dls > 1", "a pattern inside min, max or mean"),
        ("abs(near.*.dls) > 1", "a pattern inside min, max or mean"),
        ("(lambda: a)() > 1", "there is no value 'lambda'"),
        ("a > 'x'", "there is no value 'x'"),
        ("a > True", "there is no value 'True'"),
        ("a ** b > 1", "expected a number"),
        ("min() > 1", "expected a number"),
        ("min(a, key=b) > 1", "there is no value 'key'"),
        ("[1][0] > a", "expected a number"),
        ("a == 4", "'exact: true'"),
        ("a in b", "there is no value 'in'"),
        ("not a > b", "there is no value 'not'"),
        ("a > (", "is no predicate"),
        ("a > 1; a > 2", "is no predicate"),
        ("a > " + "(" * 1500 + "1" + ")" * 1500, "at most"),
        ("a > " + "(" * 900 + "1" + ")" * 900, "is no predicate"),
    ],
)
def test_a_text_that_is_no_predicate_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Predicate(text, NAMES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_predicate_knows_the_values_that_it_needs() -> None:
    assert Predicate("min(near.*.dls) > a", NAMES).names == ["near.x.dls", "near.y.dls", "a"]


@pytest.mark.parametrize(
    "values", [[1e308] * 3, [1.7e308, -1.7e308, 1.7e308], [math.inf, -math.inf, 0.0]]
)
def test_values_that_are_too_large_tell_nothing(values: list[float]) -> None:
    seeds = [{"a": value, "b": 1.0} for value in values]
    for text in ("a > b", "mean(a, a) > b", "mean(a, -1e999) > b", "a + a + a > b"):
        for exact in (False, True):
            judged = Predicate(text, ["a", "b"], exact).judge(seeds)
            assert judged.evidence
            if not exact:
                assert judged.verdict is Verdict.UNTOLD
    assert spread(values) == "-" or "±" in spread(values)
