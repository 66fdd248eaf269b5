"""One line on how far a command is: redrawn in a terminal, written now and then elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import unicodedata
from collections.abc import Iterable
from typing import Any, TextIO

from lightning_gans.text import printable

# seconds between two redraws in a terminal
REDRAWN = 0.1
# seconds before the first line in a file, the longest time between two, and the share of the time
# so far that passes between two: a day of training gives some two hundred lines
FIRST, LONGEST, SHARE = 5.0, 600.0, 1 / 20
# the same for events, such as evaluations: of the first thirty, spread evenly, none is left out
EVENTS = 1 / 30
# columns of a terminal that tells none
COLUMNS = 80


class StatusLine:
    """The line of one command, on the standard error stream.

    In a terminal it is drawn over itself, and other output appears above it; in a file, a pipe or
    a notebook, lines follow each other at growing intervals.

    Args:
        stream: where the line goes; by default the standard error stream of the moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        terminal = getattr(self.stream, "isatty", lambda: False)()
        self.redraws = bool(terminal) and os.environ.get("TERM") != "dumb"
        self.began = self.last = self.told = time.monotonic()
        self.wait = REDRAWN if self.redraws else FIRST
        self.drawn = False  # whether the cursor stands behind the line
        self.replaced: dict[str, Any] = {}

    def due(self) -> bool:
        """Whether it is time for another line; costs less than a microsecond."""
        return time.monotonic() - self.last >= self.wait

    def show(self, parts: Iterable[str]) -> None:
        """Draw or write the line.

        Args:
            parts: of the line, the most important ones first: a narrow terminal shows these.
        """
        parts = [printable(part) for part in parts if part]
        if self.redraws:
            self._draw(parts)
        else:
            self._write(", ".join(parts) + "\n")
        self._shown()

    def tell(self, text: str) -> None:
        """Write a line that stays, about an event; in a file, not each of very many."""
        now = time.monotonic()
        if not self.redraws and now - self.told < EVENTS * (now - self.began):
            return
        self.told = now
        self.clear()
        self._write(printable(text) + "\n")
        self._shown()

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self.drawn:
            self._write("\r\x1b[K")
            self.drawn = False

    def _shown(self) -> None:
        self.last = time.monotonic()
        if not self.redraws:
            self.wait = min(LONGEST, max(FIRST, SHARE * (self.last - self.began)))

    def _draw(self, parts: list[str]) -> None:
        self._write(f"\r{fitting(parts, self._columns() - 1)}\x1b[K")
        self.drawn = True

    def _columns(self) -> int:
        # the terminal's, which may have changed; not that of the standard output, as shutil has it
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.get_terminal_size(self.stream.fileno()).columns or COLUMNS
        return COLUMNS

    def _write(self, text: str) -> None:
        # a terminal that is gone must not end an iteration in its middle
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()

    def above(self) -> None:
        """Let whatever is printed from now on appear above the line, until :meth:`close`."""
        if self.redraws and not self.replaced:
            for name in ("stdout", "stderr"):
                self.replaced[name] = getattr(sys, name)
                setattr(sys, name, Above(self.replaced[name], self))

    def close(self) -> None:
        """Take the line away, and leave the streams as they were."""
        self.clear()
        for name, stream in self.replaced.items():
            if isinstance(getattr(sys, name), Above):
                setattr(sys, name, stream)
        self.replaced = {}


class Steps:
    """Tells how many of a known number of steps are made, while a block runs.

    Args:
        total: steps.
        what: is made, for the line.
        shown: whether there is a line.
    """

    def __init__(self, total: int, what: str = "step", shown: bool = True) -> None:
        self.total, self.what, self.shown = total, what, shown
        self.count, self.line = 0, StatusLine()

    def __enter__(self) -> Steps:
        if self.shown:
            self.line.above()
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def made(self, more: int = 1) -> None:
        """Count further steps."""
        self.count += more
        if self.shown and self.line.due():
            seconds = time.monotonic() - self.line.began
            left = (self.total - self.count) * seconds / self.count
            rate = self.count / seconds
            per = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
            made = f"{self.what} {self.count:,} of {self.total:,}"
            self.line.show([made, f"{per} a second", f"{duration(left)} left"])


class Above:
    """A stream whose text appears above a line.

    Args:
        stream: to which it is written.
        line: taken away first.
    """

    def __init__(self, stream: TextIO, line: StatusLine) -> None:
        self.stream, self.line = stream, line

    def write(self, text: str) -> int:
        """Write a text where the line was, which is drawn again when it is next due."""
        self.line.clear()
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def columns_of(text: str) -> int:
    """The columns that a text takes in a terminal: two for a wide character, none for an accent."""
    return sum(map(_columns_of_character, text))


def _columns_of_character(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitting(parts: Iterable[str], columns: int) -> str:
    """As many whole parts as fit, joined by commas; the first is cut if even that does not.

    >>> fitting(["iteration 5", "3 s left", "a loss of 7"], 24)
    'iteration 5, 3 s left'
    >>> fitting(["モデル"], 5)
    'モデ'
    """
    first, *others = parts
    line = ""
    for character in first:
        if columns_of(line + character) > columns:
            return line
        line += character
    for part in others:
        if columns_of(f"{line}, {part}") > columns:
            break
        line = f"{line}, {part}"
    return line


def duration(seconds: float) -> str:
    """A time as people say it, in at most two units.

    >>> duration(7.4), duration(95), duration(7260), duration(200_000)
    ('7 s', '1 min 35 s', '2 h 1 min', '2 d 7 h')
    """
    whole = max(0, round(seconds))
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
