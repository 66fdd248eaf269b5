"""The arithmetic of the benchmarks: figures, tables and counts of operations; no times."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measuring import (
    Figure,
    Quiet,
    digits,
    in_turns,
    ratios,
    read_figures,
    table,
    write_figures,
)


def test_a_figure_is_the_median_of_its_rounds_with_the_lowest_and_the_highest() -> None:
    figure = Figure.of("iteration", "ms", [5.0, 1.0, 2.0, 100.0], model="gan", threads=1)
    assert (figure.median, figure.low, figure.high, figure.rounds) == (3.5, 1.0, 100.0, 4)
    assert figure.case == {"model": "gan", "threads": 1}
    assert str(figure) == "3.50 (1.00 to 100)"
    with pytest.raises(ValueError, match="at least one value of iteration"):
        Figure.of("iteration", "ms", [])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.12345, "0.123"), (1.2345, "1.23"), (12.345, "12.3"), (12345.6, "12,346")],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert digits(value) == text


def test_turns_alternate_and_each_round_begins_with_another() -> None:
    calls: list[str] = []
    names = ("a", "b", "c")
    times = in_turns({name: (lambda n=name: calls.append(n)) for name in names}, rounds=3, warm=1)
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(names, 3)


def test_a_ratio_is_taken_round_by_round() -> None:
    # the machine is three times as slow in the second round: the ratio is not
    assert ratios({"ours": [2.0, 6.0], "bare": [1.0, 3.0]}, "ours", "bare") == [2.0, 2.0]


def test_a_table_of_markdown_has_a_rule_and_numbers_to_the_right() -> None:
    assert table(["what", "ms"], [["one", 1], ["two", "2.0"]]) == (
        "| what | ms |\n| --- | ---: |\n| one | 1 |\n| two | 2.0 |"
    )


def test_figures_come_back_from_their_file_with_the_machine(tmp_path: Path) -> None:
    figures = [Figure.of("a", "ms", [1.0, 2.0], batch=8), Figure.of("b", "", [1.5])]
    write_figures(tmp_path / "figures.json", figures, Quiet())
    content, found = read_figures(tmp_path / "figures.json")
    assert found == figures
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["torch"]
    assert content["quiet"]["others"] >= 0
