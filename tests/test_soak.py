"""The soak notices what grows, and only that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import soak
from soak import Sample

COUNT = 4000


def samples(**changes: Callable[[int], float]) -> list[Sample]:
    """A flat run, but for what is changed."""
    flat = Sample(0, 0.01, 900.0, 12, 3)
    rows = [flat._replace(step=step) for step in range(1, COUNT + 1)]
    for name, change in changes.items():
        rows = [
            row._replace(**{name: type(getattr(row, name))(getattr(row, name) * change(row.step))})
            for row in rows
        ]
    return rows


def not_flat(rows: list[Sample]) -> list[str]:
    return [verdict.what for verdict in soak.verdicts(list(soak.windows(rows))) if not verdict.flat]


def test_a_flat_run_passes_whatever_its_warm_up_and_its_pauses() -> None:
    assert not_flat(samples()) == []
    assert not_flat(samples(memory=lambda step: 0.5 if step < 0.09 * COUNT else 1)) == []
    assert not_flat(samples(seconds=lambda step: 300 if step % 20 == 0 else 1)) == []
    assert not_flat(samples(seconds=lambda step: 1 + 0.3 * (step % 3))) == []


@pytest.mark.parametrize(
    ("name", "grown", "what"),
    [
        ("memory", 1.06, "resident memory"),
        ("seconds", 1.3, "time of an iteration"),
        ("files", 1.1, "open files"),
        ("threads", 3.0, "threads"),
    ],
)
def test_what_grows_little_by_little_is_noticed(name: str, grown: float, what: str) -> None:
    assert not_flat(samples(**{name: lambda step: 1 + (grown - 1) * step / COUNT})) == [what]


def test_one_file_that_is_left_open_after_a_stop_is_noticed() -> None:
    assert not_flat(samples(files=lambda step: 1 if step < COUNT / 2 else 13 / 12)) == [
        "open files"
    ]


def test_a_row_that_is_lost_or_twice_is_noticed(tmp_path: Path) -> None:
    trained = [f"{step},1.0," for step in range(5, 41, 5)]
    evaluated = [f"{step},,128" for step in (0, 20, 40)]

    def check(rows: list[str]) -> None:
        text = "\n".join(["step,loss,evaluation/samples", *rows])
        (tmp_path / "metrics.csv").write_text(text + "\n", encoding="utf-8")
        soak.check_rows(tmp_path, 40, 20)

    check(trained + evaluated)
    for rows in (
        trained[1:] + evaluated,
        [*trained, trained[0], *evaluated],
        trained + evaluated[:2],
        [*trained, *evaluated, "19,,128"],
    ):
        with pytest.raises(SystemExit, match="expected"):
            check(rows)


@pytest.mark.slow
def test_a_short_soak_draws_its_curves_and_writes_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{soak.BEGIN}\nold\n{soak.END}\nafter\n", encoding="utf-8")
    options = ["--iterations=120", "--stops=2", f"--page={page}", f"--images={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["soak.py", *options])
    soak.main()  # so short a run need not be flat
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert text.count("\n| ") == 5, "a head and four quantities"
    for curve in ("memory", "time", "handles"):
        assert (tmp_path / f"soak_{curve}.png").stat().st_size < 50_000
