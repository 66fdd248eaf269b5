"""A run's log of losses and measurements, as a CSV file."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lightning.fabric.loggers.csv_logs import _ExperimentWriter
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning_utilities.core.rank_zero import rank_zero_only, rank_zero_warn
from typing_extensions import override

from lightning_gans.errors import UserError
from lightning_gans.ranges import PositiveInt, checked
from lightning_gans.runs.atomic import Unwritable, write_text
from lightning_gans.runs.damaged import salvage_rows
from lightning_gans.runs.folder import METRICS

FILE = METRICS
# logged by every evaluation: a row with this column is an evaluation, any other is training
SAMPLES = "evaluation/samples"


class _Writer(_ExperimentWriter):
    """Appends to an existing file, which the stock writer deletes.

    Rows that cannot be written, for example because the disk is full, are kept and written with the
    next ones: training need not stop for them.
    """

    failed = False

    @override
    def _check_log_dir_exists(self) -> None:
        file = Path(self.metrics_file_path)
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as lines:
                self.metrics_keys = next(csv.reader(lines), [])

    @override
    def save(self) -> None:
        """Append the new rows; warn once if that is not possible."""
        try:
            self.write()
        except OSError as error:
            if not self.failed:
                rank_zero_warn(f"{error}; its rows are kept in memory until then")
            self.failed = True

    def write(self) -> None:
        """Append the new rows.

        Raises:
            Unwritable: if the operating system does not let the file be written.
        """
        if not self.metrics:
            return
        file = Path(self.metrics_file_path)
        names = sorted({*self.metrics_keys, *(name for row in self.metrics for name in row)})
        if names != self.metrics_keys or not file.is_file():
            before = read_rows(file)[1] if file.is_file() else []
            write_rows(file, names, [*before, *self.metrics])
        else:
            append_rows(file, names, self.metrics)
        self.metrics_keys, self.metrics, self.failed = names, [], False


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
            salvage_rows(Path(self.log_dir) / FILE)
            self._experiment = _Writer(self.log_dir)
        return self._experiment

    @override
    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last rows.

        Raises:
            Unwritable: if they cannot be written, unless another error has ended the run.
        """
        if self._experiment is None:
            return
        if status == "success":
            self._experiment.write()
        else:
            self._experiment.save()


class UnreadableMetrics(UserError, ValueError):
    """A ``metrics.csv`` that is not a CSV file."""


def drop_rows_after(file: Path, step: int, measured: bool = True) -> None:
    """Drop the rows that a run wrote after the checkpoint from which it resumes.

    Args:
        file: a ``metrics.csv``; does nothing if there is none.
        step: the checkpoint's iterations.
        measured: whether the evaluation at this step is kept.

    Raises:
        UnreadableMetrics: if it is not a CSV file.
        Unwritable: if the operating system does not let the file be written.
    """
    if not file.is_file():
        return
    names, rows = read_rows(file)

    def is_kept(row: dict[str, str]) -> bool:
        found = int(row["step"])
        return found < step or (found == step and (measured or not row.get(SAMPLES)))

    write_rows(file, names, [row for row in rows if is_kept(row)])


def last_evaluation(file: Path, step: int) -> int | None:
    """The iterations at the last evaluation in a ``metrics.csv`` up to a step; None if none.

    Raises:
        UnreadableMetrics: if it is not a CSV file.
    """
    rows = read_rows(file)[1] if file.is_file() else []
    found = [int(row["step"]) for row in rows if row.get(SAMPLES)]
    return max((at for at in found if at <= step), default=None)


def write_rows(file: Path, names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a whole ``metrics.csv``.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, text.getvalue())


def append_rows(file: Path, names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Append rows to a ``metrics.csv``; on an error it is as it was.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    text = io.StringIO(newline="")
    csv.DictWriter(text, names).writerows(rows)
    length = None
    try:
        with file.open("r+b") as lines:
            length = lines.seek(0, os.SEEK_END)
            lines.write(text.getvalue().encode())
    except OSError as error:
        if length is not None:
            with contextlib.suppress(OSError):
                os.truncate(file, length)
        raise Unwritable(file, error) from error


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
