"""A line that is redrawn in a terminal, and written now and then elsewhere."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator

import pytest

from lightning_gans import status_line
from lightning_gans.status_line import StatusLine, Steps, columns_of, duration, fitting
from tests.support.terminal import Terminal


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(status_line, "time", found)
    monkeypatch.setenv("TERM", "xterm")
    return found


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    found = Terminal(30)
    yield found
    found.stream.close()


def test_a_terminal_has_one_line_however_often_it_is_drawn(
    clock: Clock, terminal: Terminal
) -> None:
    line = StatusLine(terminal.stream)
    for text in ("a long first line", "short", "another"):
        line.show([text])
    assert terminal.screen() == ["another"]


def test_ten_draws_a_second_are_due(clock: Clock, terminal: Terminal) -> None:
    line, drawn = StatusLine(terminal.stream), 0
    for millisecond in range(1, 2001):
        clock.now = millisecond / 1000
        if line.due():
            line.show(["x"])
            drawn += 1
    assert 18 <= drawn <= 20


def test_a_narrow_terminal_shows_the_first_parts(clock: Clock, terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show(["iteration 5 of 10", "3 s left", "a loss of 0.5"])
    assert terminal.screen() == ["iteration 5 of 10, 3 s left"]


def test_the_last_column_stays_free_where_terminals_would_wrap(
    clock: Clock, terminal: Terminal
) -> None:
    line = StatusLine(terminal.stream)
    line.show(["x" * 40, "y"])
    assert terminal.screen() == ["x" * 29]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines_as_a_file_does(
    clock: Clock, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    line = StatusLine(terminal.stream)
    line.show(["iteration 1", "a loss of 2"])
    line.tell("evaluation")
    assert terminal.text().splitlines() == ["iteration 1, a loss of 2", "evaluation"]
    assert not line.due()


def test_an_event_is_a_line_above_whatever_is_in_it(clock: Clock, terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show(["iteration 1,000"])
    line.tell("\x1b[2Jevent")
    line.show(["iteration 1"])
    assert terminal.screen() == [r"\x1b[2Jevent", "iteration 1"]


def test_wide_characters_and_accents_fit() -> None:
    assert columns_of("モデル") == 6
    assert columns_of("e\u0301") == 1
    assert fitting(["モデル"], 5) == "モデ"
    assert fitting(["モデル", "x"], 9) == "モデル, x"
    assert fitting(["モデル", "x"], 8) == "モデル"


def test_what_is_printed_meanwhile_is_above_the_line(
    clock: Clock, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    monkeypatch.setattr(sys, "stdout", terminal.stream)
    line = StatusLine()
    line.above()
    line.show(["iteration 1,000 of 2,000"])
    print("short")
    line.show(["iteration 1,100 of 2,000"])
    print("error", file=sys.stderr)
    line.show(["iteration 1,200 of 2,000"])
    assert terminal.screen() == ["short", "error", "iteration 1,200 of 2,000"]
    line.close()
    assert sys.stderr is terminal.stream
    assert sys.stdout is terminal.stream


def test_a_file_has_no_control_characters_and_fewer_lines_as_time_goes_by(clock: Clock) -> None:
    file = io.StringIO()
    line = StatusLine(file)
    times = []
    for second in range(86_400):
        clock.now = float(second)
        if line.due():
            line.show([f"second {second}"])
            times.append(second)
    assert file.getvalue() == "".join(f"second {second}\n" for second in times)
    assert times[0] == 5
    assert len(times) < 250
    assert max(b - a for a, b in itertools.pairwise(times)) <= 601


@pytest.mark.parametrize("events", [1, 20, 100, 3000])
def test_a_file_tells_of_each_of_few_events_and_of_some_of_very_many(
    events: int, clock: Clock
) -> None:
    file = io.StringIO()
    line = StatusLine(file)
    for event in range(1, events + 1):
        clock.now = 3600 * event / events
        line.tell(f"event {event}")
    told = len(file.getvalue().splitlines())
    assert told == events if events <= 20 else 30 < told < 200


def test_a_terminal_that_is_gone_is_no_error(clock: Clock) -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    line = StatusLine(Gone())
    line.show(["x"])
    line.tell("y")
    line.close()


def test_file_names_cannot_move_the_cursor(clock: Clock, terminal: Terminal) -> None:
    line = StatusLine(terminal.stream)
    line.show(["\x1b[2Jx\ny"])
    assert terminal.screen() == [r"\x1b[2Jx\x0ay"]


def test_steps_tell_the_time_that_is_left(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with Steps(100, "image") as told:
        for second in range(1, 21):
            clock.now = float(second)
            told.made()
    first = file.getvalue().splitlines()[0]
    assert first == "image 5 of 100, 1 a second, 1 min 35 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min"), (3599.9, "1 h"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
