"""The arithmetic of the benchmarks: figures, tables and counts of operations; no times."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import benchmarks.__main__ as runner
from benchmarks import growth
from benchmarks.__main__ import Part
from benchmarks.floor import Stopwatch, interpolated
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
from benchmarks.operations import Recorder
from benchmarks.processes import SETUPS, shown
from benchmarks.scaling import Case, visit


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
    times = in_turns({name: partial(calls.append, name) for name in names}, rounds=3, warm=1)
    assert "".join(calls) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(found) for name, found in times.items()} == dict.fromkeys(names, 3)


def test_a_ratio_is_taken_round_by_round() -> None:
    # the machine is three times as slow in the second round: the ratio is not
    assert ratios({"ours": [2.0, 6.0], "bare": [1.0, 3.0]}, "ours", "bare") == [2.0, 2.0]


def test_a_table_of_markdown_has_a_rule_and_numbers_to_the_right() -> None:
    assert table(["what", "ms"], [["one", 1], ["two", "2.0"]]) == (
        "| what | ms |\n| --- | ---: |\n| one | 1 |\n| two | 2.0 |"
    )


def test_processes_are_compared_with_one_process_of_the_same_game() -> None:
    first, *_, last = SETUPS
    rates = {("a", first): 200.0, ("a", last): 300.0, ("b", first): 50.0, ("b", last): 40.0}
    found = [Figure.of("rate", "", [v], game=g, setup=s) for (g, s), v in rates.items()]
    (text,) = shown(found)
    times = [row.split("|")[-2].strip() for row in text.splitlines()[2:]]
    assert times == ["**1.00**", "**1.50**", "**1.00**", "**0.800**"]


def test_figures_come_back_from_their_file_with_the_machine(tmp_path: Path) -> None:
    figures = [Figure.of("a", "ms", [1.0, 2.0], batch=8), Figure.of("b", "", [1.5])]
    write_figures(tmp_path / "figures.json", figures, Quiet())
    content, found = read_figures(tmp_path / "figures.json")
    assert found == figures
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["torch"]
    assert content["quiet"]["others"] >= 0


def test_a_product_is_counted_as_by_hand() -> None:
    x, w, b = torch.zeros(2, 3, 8, 8), torch.zeros(5, 3, 3, 3), torch.zeros(5)
    with Recorder() as recorder:
        functional.conv2d(x, w, b, stride=2, padding=1)  # to (2, 5, 4, 4)
        functional.conv_transpose2d(x, torch.zeros(3, 5, 4, 4), stride=2, padding=1)
        functional.conv2d(x, torch.zeros(3, 1, 4, 4), groups=3)  # to (2, 3, 5, 5)
        functional.linear(torch.zeros(7, 6), torch.zeros(4, 6), torch.zeros(4))
        torch.bmm(torch.zeros(2, 3, 4), torch.zeros(2, 4, 5))
    assert [call.operations for call in recorder.calls if call.operations] == [
        2 * (2 * 5 * 4 * 4) * (3 * 3 * 3),
        2 * (2 * 3 * 8 * 8) * (5 * 4 * 4),  # each pixel of the input meets the whole kernel
        2 * (2 * 3 * 5 * 5) * (4 * 4),
        2 * (7 * 4) * 6,
        2 * (2 * 3 * 5) * 4,
    ]


def test_a_penalty_counts_its_gradients_of_gradients() -> None:
    """By hand, for one layer y = W x: W x; its gradient; and those of |W' 1|²."""
    x = torch.ones(4, 6, requires_grad=True)
    w = torch.ones(5, 6, requires_grad=True)
    with Recorder() as recorder:
        y = functional.linear(x, w)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        forward_and_penalty = len(recorder.calls)
        (slope.square().sum() + y.sum()).backward()  # type: ignore[no-untyped-call]
    each = 2 * 4 * 5 * 6  # the same three widths in every product
    before = [c.operations for c in recorder.calls[:forward_and_penalty] if c.operations]
    after = [c.operations for c in recorder.calls[forward_and_penalty:] if c.operations]
    assert before == [each, each]  # y; the slope
    assert after == [each] * 3  # of |slope|²: to W; of y: to W and to x


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_a_convolution_are_counted_as_torch_counts_them(transposed: bool) -> None:
    # not as modules, inside of which torch's counter cannot follow autograd.grad
    weight = torch.randn(3, 4, 4, 4) if transposed else torch.randn(4, 3, 4, 4)
    layer = functional.conv_transpose2d if transposed else functional.conv2d
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    weight.requires_grad_()

    def penalised() -> None:
        y = layer(x, weight, stride=2, padding=1)
        (slope,) = torch.autograd.grad(y.sigmoid().sum(), x, create_graph=True)
        slope.square().sum().backward()  # type: ignore[no-untyped-call]

    with FlopCounterMode(display=False) as counter:
        penalised()
    with Recorder() as recorder:
        penalised()
    assert sum(call.operations for call in recorder.calls) == counter.get_total_flops() > 0


def test_bytes_are_those_read_and_written_and_views_have_none() -> None:
    a, b = torch.zeros(10), torch.zeros(10)

    def moved(function: Callable[[], object]) -> list[int]:
        with Recorder() as recorder:
            function()
        return [call.bytes for call in recorder.calls]

    assert moved(lambda: a + b) == [3 * 40]
    assert moved(lambda: a.add_(b)) == [3 * 40]  # a is read and written
    assert moved(lambda: [a.view(2, 5).t()[0].detach()]) == []
    assert moved(lambda: a[:1].expand(10) + b) == [4 + 2 * 40], "one element in memory"
    assert moved(lambda: torch.empty(10)) == []
    average, weights = [torch.zeros(10)] * 2, [torch.zeros(10)] * 2
    assert moved(lambda: torch._foreach_lerp_(average, weights, 0.1)) == [2 * 3 * 40]


def test_a_recorded_call_can_be_repeated_alone() -> None:
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    x = torch.randn(4, 2, 6, 6, requires_grad=True)
    with Recorder(lambda: "some part") as recorder:
        layer(x).sum().backward()  # whose gradient is one expanded number
    products = [call for call in recorder.calls if call.operations]
    assert [call.kind for call in products] == [
        "convolutions",
        "convolutions' gradient of input and weight",
    ]
    assert {call.part for call in recorder.calls} == {"some part"}
    results = products[1].repeat()()
    assert isinstance(results, tuple)
    assert results[0].shape == x.shape
    assert results[1].shape == layer.weight.shape


class Ticks:
    """A clock that goes on by what it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stopwatch_gives_each_moment_to_one_part() -> None:
    clock = Ticks()
    watch = Stopwatch("loop", clock)

    def step() -> None:
        clock.now += 2
        watch.around("penalty", lambda: setattr(clock, "now", clock.now + 5))()
        clock.now += 1

    watch.around("loss", step)()
    clock.now += 10
    assert watch.part == "loop"
    assert watch.lap() == {"loop": 10, "loss": 3, "penalty": 5}
    assert watch.lap() == {"loop": 0}


def test_a_stopwatch_leaves_a_part_that_raises() -> None:
    watch = Stopwatch("loop", Ticks())
    with pytest.raises(ZeroDivisionError):
        watch.around("loss", lambda: 1 // 0)()
    assert watch.part == "loop"


def test_rates_between_measured_sizes_lie_on_a_line() -> None:
    known, times = [100, 200], [1.0, 3.0]
    assert interpolated(150, known, times) == 2
    assert interpolated(200, known, times) == 3
    assert interpolated(10, known, times) == 1, "a call has a cost of its own"
    assert interpolated(400, known, times) == 6


def test_a_fit_finds_the_rates_of_exact_points() -> None:
    true = growth.Rates(0.004, 1e11, 1e10)  # a rate that is tried
    works = [
        growth.Work([(1e9, 1e6)], 1e8, 1),
        growth.Work([(5e9, 1e6), (1e6, 5e8)], 2e8, 1),
        growth.Work([(2e10, 1e6)], 1e7, 1),
    ]
    # the second product of the second is limited by its bytes
    assert true.seconds(works[1]) == pytest.approx(0.004 + 0.05 + 0.05 + 0.02)
    found = growth.fit([(work, true.seconds(work)) for work in works], true.memory)
    assert found.loop == pytest.approx(true.loop)
    assert found.products == pytest.approx(true.products)
    with pytest.raises(ValueError, match="at least 3 points"):
        growth.fit([(works[0], 1.0)], 1e10)


def test_an_all_reduce_sends_twice_the_gradients_less_the_own_share() -> None:
    assert growth.all_reduce(1e9, 1) == 0
    assert growth.all_reduce(1e9, 2) == pytest.approx(4e9 / growth.INSIDE)
    assert growth.all_reduce(1e9, 256) == pytest.approx(2 * 255 / 256 * 4e9 / growth.BETWEEN)


def test_an_iteration_without_content_is_counted_like_one_of_the_trainer(
    tmp_path: Path,
) -> None:
    case = Case(batch=2, side=32, channels=2, latent=3)
    model, recorder = case.model(), Recorder()
    visit(model, case, 1, 60, recorder)
    found = growth.counted(model.generator, model.discriminator, model.image_shape, 2)
    products = [call for call in recorder.calls if call.operations]
    assert found.operations == sum(call.operations for call in products)
    assert sum(count for _, count in found.products) == sum(call.bytes for call in products)
    # the Trainer's iteration also draws latents, traces their scale and checks what is finite
    others = sum(call.bytes for call in recorder.calls if not call.operations)
    assert found.moved == pytest.approx(others, rel=0.2)
    assert found.parameters == sum(
        p.numel()
        for network in (model.generator, model.discriminator)
        for p in network.parameters()
    )


def made_up() -> dict[str, Any]:
    """A file of figures with two parts, of which one failed."""
    about = {"cores": 2, "cpu": "Some CPU", "instructions": "AVX9", "memory_gb": 23.6}
    about |= dict.fromkeys(("python", "torch", "lightning", "numpy"), "1.2")
    quiet = {"others": 0.01, "seconds": 12.3}
    measured = {
        "tables": "| a |\n| --- |\n| 1 |",
        "date": "2026-01-02",
        "quiet": quiet,
        "times": True,
    }
    return {"machine": about, "parts": {"one": measured, "two": {"failed": "no time was left"}}}


PAGE = """# Performance

<!-- part: machine -->
<!-- end of the part -->

Prose.

<!-- part: two -->
old
<!-- end of the part -->

More prose.

<!-- part: one -->

<!-- end of the part -->

The end.
"""


def test_a_page_keeps_its_prose_and_gets_the_tables_of_each_part() -> None:
    page = runner.rewritten(PAGE, made_up())
    assert "Measured on 2 cores of Some CPU (AVX9) with 24 GB of memory" in page
    assert "Not measured: no time was left." in page
    assert "old" not in page
    assert (
        "<!-- part: one -->\n\n| a |\n| --- |\n| 1 |\n\n"
        "`python -m benchmarks --only one`, 2026-01-02, 12 s.\n\n<!-- end of the part -->"
    ) in page
    for prose in ("Prose.", "More prose.", "The end."):
        assert page.count(f"\n{prose}\n") == 1
    assert runner.rewritten(page, made_up()) == page


def test_a_page_says_when_the_machine_was_not_quiet() -> None:
    content = made_up()
    content["parts"]["one"]["quiet"]["others"] = 0.234
    page = runner.rewritten(PAGE, content)
    assert "**The machine was not quiet**: other processes used 23 % of its cores" in page
    assert "not quiet" not in runner.rewritten(PAGE, made_up())
    content["parts"]["one"]["times"] = False
    assert "not quiet" not in runner.rewritten(PAGE, content), "memory does not mind"


def test_a_page_without_a_marker_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"expected the lines '<!-- part: two -->'"):
        runner.rewritten(PAGE.replace("<!-- part: two -->", ""), made_up())


def test_a_part_that_fails_keeps_its_earlier_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text(PAGE)
    scripts = {"one": "print('| b |'); print('| --- |')", "two": "raise ValueError('broken')"}
    for name, source in scripts.items():
        (tmp_path / f"made_{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    parts = tuple(Part(name, f"made_{name}", 1, measures=False) for name in scripts)
    monkeypatch.setattr(runner, "PARTS", parts)
    arguments = ["--json", str(figures), "--page", str(page)]
    assert runner.main(arguments) == 1
    assert "two: ValueError: broken" in capsys.readouterr().err
    assert "Not measured: ValueError: broken." in page.read_text()
    assert "| b |\n| --- |" in page.read_text()
    # once it was measured, a failure does not remove it
    (tmp_path / "made_two.py").write_text("print('| c |')")
    assert runner.main([*arguments, "--only", "two"]) == 0
    (tmp_path / "made_two.py").write_text("raise ValueError('broken')")
    assert runner.main([*arguments, "--only", "two"]) == 1
    assert "| c |" in page.read_text()
    assert runner.main([*arguments, "--seconds", "0.5"]) == 2, "no time is left for either"


def test_lines_between_tables_stay_and_tables_are_set_apart() -> None:
    printed = "Two tables:\n| a |\n|---|\n| 1 |\nand\n\n\n| b |\n|---|\n\n"
    assert runner.tables(printed) == ("Two tables:\n\n| a |\n|---|\n| 1 |\n\nand\n\n| b |\n|---|")


DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_the_file_of_figures_gives() -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    content = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    assert runner.rewritten(page, content) == page, "run python -m benchmarks --only ''"
    marked = re.findall(r"<!-- part: (\w+) -->", page)
    assert sorted(marked) == sorted(["machine", *(part.name for part in runner.PARTS)])


def test_every_table_of_the_page_is_rectangular() -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE)
    content = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    assert len(blocks) >= sum("tables" in part for part in content["parts"].values())
    for rows in (block.strip().split("\n") for block in blocks):
        widths = {len(re.split(r"(?<!\\)\|", row)) for row in rows}
        assert len(widths) == 1, rows[0]
        assert set(rows[1]) <= set("|-: "), rows[1]


def test_all_parts_fit_into_a_quarter_of_an_hour() -> None:
    assert sum(part.seconds for part in runner.PARTS) <= 900
