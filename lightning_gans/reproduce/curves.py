"""Curves over the iterations of a training, as the thesis prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lightning_gans import plots
from lightning_gans.errors import InputError
from lightning_gans.reproduce.names import as_name
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.report import read as read_log


def draw(
    runs: Mapping[str, Sequence[Path]], path: Path, names: tuple[str, ...], columns: int = 3
) -> None:
    """What evaluations measured over the iterations, a panel for each measure.

    Args:
        runs: of each training, all seeds in one colour.
        path: the PNG file.
        names: of the measures, such as psnr.real; a run without one has no curve there.
        columns: the greatest number of panels in a row.

    Raises:
        InputError: if no run has a measure.
    """
    panels: dict[str, dict[str, list[tuple[list[float], list[float]]]]] = {n: {} for n in names}
    for training, folders in runs.items():
        for folder in folders:
            for name, series in measured(folder).items():
                if name in panels:
                    panels[name].setdefault(training, []).append(series)
    lacking = [name for name, found in panels.items() if not found]
    if lacking:
        raise InputError(f"{lacking[0]} was measured in none of the runs of {', '.join(runs)}")
    plots.curve_panels(panels, path, columns)


def measured(run: Path) -> dict[str, tuple[list[float], list[float]]]:
    """The iterations and values of each measure of a run, by names with dots."""
    log = read_log(run / FILE)
    return {as_name(name): log.series[name] for name in log.measured}
