"""The report of a run, from what lies in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_gans.errors import UsageError
from lightning_gans.paths import near_miss, typed_path
from lightning_gans.ranges import checked
from lightning_gans.runs.claim import RECORD
from lightning_gans.runs.folder import EXPORTED_CONFIG, FOLDER, CheckpointMissing, is_exported
from lightning_gans.runs.layout import find_checkpoint, is_run
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.report import Report, collect
from lightning_gans.runs.report_files import report as write_report
from lightning_gans.workflows.outcome import Outcome


@dataclass(frozen=True)
class Reported(Outcome):
    """The report of a run.

    Attributes:
        content: what is written to it, as typed data.
    """

    content: Report | None = None


@checked
def report(run: str, compared: Sequence[str] = ()) -> Reported:
    """Write the report of a run again: settings, measurements, pictures, times, how to resume.

    lightning-gans report runs/dlsgan/mnist5k/TIME
    lightning-gans report runs/dlsgan/mnist5k/TIME compared=runs/gan/mnist5k/TIME

    A run writes its report when it ends: report.html, one file for any browser, and report.md with
    curves.png. This command writes the same files from what lies in the run's folder, also of a run
    that was killed or that still trains, and replaces those that are there. No model is loaded, and
    no checkpoint is changed.

    Args:
        run: a run's folder, or a checkpoint in one; also last or best, of the newest run.
        compared: runs that report.html compares it with: measures, settings, curves; may be
            repeated.

    Returns:
        The report, and the run's folder.

    Raises:
        CheckpointMissing: if one is not a run's folder.
        UnreadableMetrics: if its metrics.csv is not a CSV file of numbers.
        UsageError: if a run is named twice.
    """
    folder = run_folder(run, "run")
    others = [run_folder(typed, "compared") for typed in compared]
    check_distinct([folder, *others])
    return Reported(folder, write_report(folder, others), content=collect(folder))


def check_distinct(folders: Sequence[Path]) -> None:
    """Refuse a run that is named twice.

    Raises:
        UsageError: naming it.
    """
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"the run {folder} is named twice; name each run once")


def run_folder(typed: str, option: str) -> Path:
    """The folder of the run that was typed: itself, or a checkpoint in it.

    Args:
        typed: the path; or last or best, of the newest run.
        option: the name of the argument, for messages.

    Raises:
        CheckpointMissing: if it is not a run's folder, with what it is.
    """
    path = find_checkpoint(typed, {}, option) if typed in ("last", "best") else typed_path(typed)
    if not path.exists():
        hint = near_miss(path, ("last", "best"))
        raise CheckpointMissing(
            f"{option}={typed}: {path} does not exist{hint}; give a run's folder"
        )
    inner = path.parent if path.is_file() else path
    # also "." in the folder of checkpoints
    folder = inner.resolve().parent if inner.resolve().name == FOLDER else inner
    if is_exported(folder) or (folder / EXPORTED_CONFIG).is_file():
        raise CheckpointMissing(
            f"{option}={typed}: {folder} is an exported model, which has no log of its training; "
            "give a run's folder"
        )
    if not is_run(folder):
        raise CheckpointMissing(
            f"{option}={typed}: {folder} is not a run's folder: it has no {FILE}, {FOLDER} or "
            f"{RECORD}; give one such as runs/dlsgan/mnist5k/TIME"
        )
    return folder
