"""One figure or table of a paper: train, measure, and keep the values."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from lightning_gans.errors import Stopped, UsageError
from lightning_gans.paths import typed_path
from lightning_gans.ranges import Range, checked
from lightning_gans.reproduce.commands import Subprocesses, stopped
from lightning_gans.reproduce.items import PROFILES, find_item
from lightning_gans.reproduce.pages import profile_lines
from lightning_gans.reproduce.results import Results, file_of_results
from lightning_gans.reproduce.running import Run
from lightning_gans.runs.atomic import Unwritable
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.text import printable
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_config import vetted_config


@dataclass(frozen=True)
class ReproduceRun(Outcome):
    """The values of an item.

    Attributes:
        results: of all seeds.
    """

    results: Results | None = None


@checked
def reproduce_run(
    item: str,
    profile: Literal["cpu", "paper"] = "cpu",
    seeds: Annotated[int, Range(1, 1000)] | None = None,
    root: str = "data",
    out: str = "docs/results",
) -> ReproduceRun:
    """Train and measure what a figure or table of a paper shows, and keep the values.

    lightning-gans reproduce run thesis-figure-42
    lightning-gans reproduce run thesis-table-5 root=/data/sets seeds=1

    Trainings are in runs/reproduce, each by a hash of its config, its seed and the code that
    decides its numbers: a training that is there is not made again, whichever item needs it. After
    Ctrl-C the same command resumes. Values are written after each seed, and reproduce report makes
    pages of them.

    Args:
        item: the ID of a figure or table, from reproduce list.
        profile: cpu, a small setting for two cores, or paper, the published one.
        seeds: the number of repeats; by default as many as the item states, mostly 3.
        root: the folder of the data sets, as data.root of a training.
        out: the folder of results; values are in its folder data.

    Returns:
        The values, and the folder of results.

    Raises:
        UsageError: if there is no such item, or it does not have this profile.
        UserError: if a training or a measurement fails.
    """
    chosen = find_item(item)
    if profile not in chosen.profiles:
        others = " or ".join(f"profile={name}" for name in PROFILES if name in chosen.profiles)
        raise UsageError(f"{chosen.id} has no profile {profile}; give {others}")
    folder = typed_path(out)
    make_folder_of_results(folder)  # before hours of training
    run = Run(chosen, profile, root, folder, Subprocesses(), log, vetted_config)
    try:
        with StopSignals():
            results = run.all_seeds(chosen.profiles[profile].seeds if seeds is None else seeds)
    except Stopped as stop:
        raise stopped(stop.number) from None
    text = "\n".join(
        [
            *profile_lines(chosen, profile, results),
            f"values: {file_of_results(folder, chosen.id, profile)}",
        ]
    )
    return ReproduceRun(folder, text, results=results)


def make_folder_of_results(folder: Path) -> None:
    """Make a folder of results.

    Raises:
        Unwritable: if that is impossible.
    """
    for name in ("data", "images"):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(folder / name, error) from error


def log(line: str) -> None:
    """Print progress to stderr without buffering."""
    print(printable(line), file=sys.stderr, flush=True)
