"""The run's own record of its numbers."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from typing_extensions import override

FILE = "metrics.csv"


class _Record(_ExperimentWriter):
    """Goes on with the file that is there, where the stock writer deletes it."""

    @override
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open(newline="") as lines:
                self.metrics_keys = next(csv.reader(lines), [])


class MetricsCSV(CSVLogger):
    """``metrics.csv`` in a run's folder: a row each time something is logged, ``step`` iterations.

    A run that continues adds to the file.

    Args:
        save_dir: the run's folder; set by the command line.
        flush_logs_every_n_steps: rows written at a time.
    """

    _experiment: _Record | None

    def __init__(self, save_dir: str = "runs", flush_logs_every_n_steps: int = 100) -> None:
        super().__init__(save_dir, "", "", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    @rank_zero_experiment
    @override
    def experiment(self) -> _Record:
        """The writer, made when first needed."""
        if self._experiment is None:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = _Record(self.log_dir)
        return self._experiment


def forget_after(file: Path, step: int) -> None:
    """Drop the rows that a run wrote after the checkpoint from which it now continues.

    Args:
        file: a ``metrics.csv``; if there is none, nothing is done.
        step: the checkpoint's iterations.
    """
    if not file.is_file():
        return
    with file.open(newline="") as lines:
        reader = csv.DictReader(lines)
        names = reader.fieldnames or []
        rows = [row for row in reader if whole(row) and int(row["step"]) <= step]
    temporary = file.with_suffix(".part")
    with temporary.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, names)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(file)


def whole(row: dict[str, str]) -> bool:
    """Whether a row was written to its end: a killed run may leave half a line."""
    return None not in row.values() and str(row.get("step", "")).isdigit()
