"""A run's log of losses and measurements, as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from typing_extensions import override

from lightning_gans.errors import UserError
from lightning_gans.ranges import PositiveInt, checked

FILE = "metrics.csv"
# logged by every evaluation: a row with this column is an evaluation, any other is training
SAMPLES = "evaluation/samples"


class _Writer(_ExperimentWriter):
    """Appends to an existing file, which the stock writer deletes."""

    @override
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as lines:
                self.metrics_keys = next(csv.reader(lines), [])


class MetricsCSV(CSVLogger):
    """``metrics.csv`` in a run's folder: a row for each log, with the iteration as ``step``.

    A resumed run appends to the file.

    Args:
        save_dir: the run's folder; set by the command line.
        flush_logs_every_n_steps: rows written at a time.
    """

    _experiment: _Writer | None

    @checked
    def __init__(self, save_dir: str = "runs", flush_logs_every_n_steps: PositiveInt = 100) -> None:
        super().__init__(save_dir, "", "", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    @rank_zero_experiment
    @override
    def experiment(self) -> _Writer:
        """The writer, created on first use."""
        if self._experiment is None:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = _Writer(self.log_dir)
        return self._experiment


class UnreadableMetrics(UserError, ValueError):
    """A ``metrics.csv`` that is not a CSV file."""


def drop_rows_after(file: Path, step: int) -> None:
    """Drop the rows that a run wrote after the checkpoint from which it resumes.

    Args:
        file: a ``metrics.csv``; does nothing if there is none.
        step: the checkpoint's iterations.

    Raises:
        UnreadableMetrics: if it is not a CSV file.
    """
    if not file.is_file():
        return
    names, found = read_rows(file)
    rows = [row for row in found if int(row["step"]) <= step]
    temporary = file.with_suffix(".part")
    with temporary.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, names)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(file)


def read_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The names of the columns of a ``metrics.csv``, and its complete rows.

    Raises:
        UnreadableMetrics: if it is not a CSV file.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            return list(reader.fieldnames or []), [row for row in reader if is_complete(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableMetrics(
            f"{file} is not a CSV file: {error}; remove it or put the run's own back"
        ) from None


def is_complete(row: dict[str, str]) -> bool:
    """Whether a row is complete; a killed run may leave half a line."""
    # a DictReader puts what is missing under None as value, and what is left over as key
    whole = None not in row and None not in row.values()
    step = str(row.get("step", ""))
    return whole and step.isascii() and step.isdigit() and len(step) < 20
