"""The files of a run's report: Markdown, its curves, and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning_gans.plots import curves
from lightning_gans.runs.atomic import replacing, write_text
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.report import COUNTS, CURVES, REPORT, collect, markdown, read, summary
from lightning_gans.runs.report_page import PAGE, write_page


def report(run: Path, compared: Sequence[Path] = ()) -> str:
    """Write ``report.md``, ``report.html`` and ``curves.png``; return what is printed of them.

    Args:
        run: a run's folder. Whatever it lacks is left out.
        compared: folders of runs that the page compares it with.

    Raises:
        UnreadableMetrics: if a ``metrics.csv`` is not a CSV file of numbers.
        Unwritable: if the operating system does not let a file be written.
    """
    log = read(run / FILE)
    others = [(folder, read(folder / FILE)) for folder in compared]
    if log.series:
        curves_of = {name: points for name, points in log.series.items() if name not in COUNTS}
        with replacing(run / CURVES) as path:
            curves(curves_of, path)
    found = collect(run, log)
    write_text(run / REPORT, markdown(found))
    write_page(found, log, [(collect(folder, other), other) for folder, other in others])
    return f"{summary(found)}\nreport: {run / REPORT}, and {PAGE} for a browser"
