"""The report of a run: a table of its measurements, its curves, and a list of its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from lightning_gans.plots import curves
from lightning_gans.runs.atomic import replacing, write_text
from lightning_gans.runs.folder import KINDS, PICTURES, checkpoints
from lightning_gans.runs.metrics_csv import FILE, SAMPLES, UnreadableMetrics, read_rows
from lightning_gans.text import printable

Series = dict[str, tuple[list[float], list[float]]]

# columns that are counts and have no curve
COUNTS = ("epoch", "step", SAMPLES)

_PICTURE = re.compile(r"([a-z_]+)-step=(0|[1-9][0-9]{0,17})\.png")


class Log(NamedTuple):
    """The contents of a ``metrics.csv``.

    Attributes:
        series: the columns as (steps, values), in the order of steps.
        measured: names of the columns that evaluations logged; the others are from training.
    """

    series: Series
    measured: frozenset[str]


def report(run: Path) -> str:
    """Draw ``curves.png``, write ``report.md``, and return the report's text.

    Args:
        run: a run's folder, with its ``metrics.csv``.
    """
    log = read(run / FILE)
    lines = [f"# {printable(run)}", "", *table(log), ""]
    if log.series:
        shown = {name: points for name, points in log.series.items() if name not in COUNTS}
        with replacing(run / "curves.png") as path:
            curves(shown, path)
    for kind, files in (
        ("pictures", [run / "curves.png", *newest_pictures(run / PICTURES)]),
        ("checkpoints", [found[-1] for kind in KINDS if (found := checkpoints(run, kind))]),
        ("numbers", [run / FILE, run / "config.yaml"]),
    ):
        lines += [f"{kind}:", *(f"- {printable(file)}" for file in files if file.is_file()), ""]
    text = "\n".join(lines)
    write_text(run / "report.md", text)
    return text


def read(file: Path) -> Log:
    """Read a ``metrics.csv``; a missing file counts as empty, and incomplete rows are skipped.

    Raises:
        UnreadableMetrics: if it is not a CSV file of numbers.
    """
    series: Series = {}
    measured: set[str] = set()
    if not file.is_file():
        return Log(series, frozenset())
    for row in read_rows(file)[1]:
        try:
            values = {name: float(value) for name, value in row.items() if value}
        except ValueError as error:
            raise UnreadableMetrics(f"{file} holds a value that is not a number: {error}") from None
        step = values.pop("step")
        for name, value in values.items():
            points = series.setdefault(name, ([], []))
            points[0].append(step)
            points[1].append(value)
        if SAMPLES in values:
            measured |= values.keys() - {"epoch"}
    return Log(series, frozenset(measured))


def table(log: Log) -> list[str]:
    """A Markdown table of the first and the last evaluation."""
    if not log.measured:
        return ["Nothing was measured."]
    measured = {name: log.series[name] for name in sorted(log.measured)}
    first = min(steps[0] for steps, _ in measured.values())
    last = max(steps[-1] for steps, _ in measured.values())
    lines = [f"| measure | step {first:.0f} | step {last:.0f} |", "|---|---:|---:|"]
    for name, (steps, values) in measured.items():
        begin = number(values[0]) if steps[0] == first else ""
        end = number(values[-1]) if steps[-1] == last else ""
        lines.append(f"| {name} | {begin} | {end} |")
    return lines


def number(value: float) -> str:
    """Four significant digits; a whole number in full."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def newest_pictures(folder: Path) -> list[Path]:
    """For each kind of picture ``<kind>-step=<n>.png`` the one with the largest n.

    Files with other names are not a run's, and are left out.
    """
    found: dict[str, tuple[int, Path]] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        match = _PICTURE.fullmatch(file.name)
        if match and file.is_file():
            found[match[1]] = max(found.get(match[1], (-1, file)), (int(match[2]), file))
    return [path for _, path in sorted(found.values(), key=lambda pair: pair[1].name)]
