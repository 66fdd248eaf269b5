"""The report of a run: what it is, its measurements, curves and pictures, and how to resume it.

:func:`collect` gathers everything as typed data; :func:`markdown` is made from that alone.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lightning_gans import __version__
from lightning_gans.errors import UserError, reason
from lightning_gans.runs.claim import RECORD, read_record
from lightning_gans.runs.folder import KINDS, PICTURES, checkpoints, damage, newest, step_of
from lightning_gans.runs.layout import CONFIG
from lightning_gans.runs.measures import Measured, Point, measured, number
from lightning_gans.runs.metrics_csv import FILE, SAMPLES, UnreadableMetrics, read_rows
from lightning_gans.runs.settings import UNKNOWN, Setting, changed, settings, shown
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.status_line import duration
from lightning_gans.text import cell, printable

Series = dict[str, tuple[list[float], list[float]]]

REPORT, CURVES = "report.md", "curves.png"
# columns that are counts and have no curve
COUNTS = ("epoch", "step", SAMPLES)
# seconds between a run's start and its record, at most; that of a copy is written later
COPIED = 600.0
CITATION = (
    f"Trained with lightning_gans {__version__}.",
    "Models of the thesis follow: Jeongik Cho, "
    '"Deep Generative Models and Their Inversions For Bidirectional Transformation Between '
    'Data and Latent Distributions", doctoral thesis, Concordia University, 2025.',
)

_PICTURE = re.compile(r"([a-z_]+)-step=(0|[1-9][0-9]{0,17})\.png")


class Log(NamedTuple):
    """The contents of a ``metrics.csv``.

    Attributes:
        series: the columns as (steps, values), in the order of steps.
        measured: names of the columns that evaluations logged; the others are from training.
    """

    series: Series
    measured: frozenset[str]


class Progress(NamedTuple):
    """How far a run came.

    Attributes:
        iterations: made, as far as its log and its intact checkpoints tell.
        most: that it was to make; None without a limit.
        started: for the last time, in seconds since 1970; None if unknown.
        seconds: from its start to its last file; None if unknown, as of a run that was resumed
            or of a copy without the times of its files.
        images_per_second: in this time, evaluations included; None if unknown.
        environment: versions of what it was trained with; empty if unknown.
        timed_out: whether ``trainer.max_time`` ended it, as far as its files tell.
    """

    iterations: int
    most: int | None
    started: float | None
    seconds: float | None
    images_per_second: float | None
    environment: Mapping[str, str] = MappingProxyType({})
    timed_out: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it made all iterations that it was to make."""
        return self.most is not None and self.iterations >= self.most

    @property
    def made(self) -> str:
        """Its iterations, and of how many unless its time was what limited it."""
        is_limit = self.most is not None and not self.timed_out
        return f"{self.iterations:,}" + (f" of {self.most:,}" if is_limit else "")

    @property
    def shortfall(self) -> str:
        """Why it made fewer than it was to make, after a comma; empty if it did not."""
        if self.timed_out:
            return ", until trainer.max_time was over"
        return "" if self.most is None or self.is_complete else ", not complete"


@dataclass(frozen=True)
class Report:
    """What is known of a run.

    Attributes:
        run: its folder.
        model: the name of its class; None if unknown.
        data: likewise.
        progress: how far it came.
        settings: all options, by the names that are typed.
        measures: of its evaluations, by name.
        pictures: the newest of each kind; also the curves, once they are drawn.
        checkpoints: the newest of each kind.
        numbers: files of numbers.
        intact: the newest checkpoint that is not damaged; None if there is none.
        resume: the command that continues it; None if no checkpoint is intact.
        problems: what could not be read.
    """

    run: Path
    model: str | None
    data: str | None
    progress: Progress
    settings: Mapping[str, Setting]
    measures: Sequence[Measured]
    pictures: Sequence[Path]
    checkpoints: Sequence[Path]
    numbers: Sequence[Path]
    intact: Path | None
    resume: str | None
    problems: Sequence[str]


def collect(run: Path, log: Log | None = None) -> Report:
    """What is known of a run, from the files in its folder.

    Args:
        run: its folder.
        log: the contents of its ``metrics.csv``, if they have been read.

    Raises:
        UnreadableMetrics: if its ``metrics.csv`` is not a CSV file of numbers.
    """
    problems: list[str] = []
    log = read(run / FILE) if log is None else log
    config: Mapping[str, Any] = {}
    if not (run / CONFIG).is_file():
        problems.append(f"{CONFIG} does not exist: the settings of the run are unknown")
    else:
        try:
            config = read_mapping(run / CONFIG)
        except (UserError, OSError) as error:
            problems.append(reason(error))
    every = settings(config)
    found = [found[-1] for kind in KINDS if (found := checkpoints(run, kind))]
    progress = progress_of(run, config, log)
    intact = newest(run)
    problems += [
        f"{path.relative_to(run).as_posix()} is damaged: {harm}"
        for path in found
        if path != intact and (harm := damage(path)) is not None
    ]
    return Report(
        run=run,
        model=_name(every, "model"),
        data=_name(every, "data"),
        progress=progress,
        settings=every,
        measures=measures_of(log),
        pictures=[*_files([run / CURVES]), *newest_pictures(run / PICTURES)],
        checkpoints=found,
        numbers=_files([run / FILE, run / CONFIG]),
        intact=intact,
        resume=None if intact is None else resume_command(run, intact, progress.most),
        problems=problems,
    )


def progress_of(run: Path, config: Mapping[str, Any], log: Log | None) -> Progress:
    """How far a run came, and how long that took.

    Args:
        run: its folder.
        config: its settings; empty if unknown.
        log: its log; None if it cannot be read.
    """
    found = checkpoints(run)
    series = log.series.values() if log is not None else ()
    iterations = max((int(steps[-1]) for steps, _ in series if steps), default=0)
    for path in reversed(found):
        # a checkpoint that its log does not reach; to check one takes time
        if step_of(path) <= iterations or damage(path) is None:
            iterations = max(iterations, step_of(path))
            break
    options = settings(config)
    most = options["trainer.max_steps"].value if "trainer.max_steps" in options else None
    batch = options["data.batch_size"].value if "data.batch_size" in options else None
    record, seconds, timed_out = read_record(run), None, False
    limit = time_limit(config)
    times = _times([*found, run / FILE])
    if record is not None and times:
        # a run that was resumed wrote files before it was started for the last time
        was_resumed = any(at < record.started for at in _times(run.glob("*/*-step=*.*")))
        # files that were copied have the time of the copy; the record is written at the start
        is_copy = any(at > record.started + COPIED for at in _times([run / RECORD]))
        since_start = 0.0 if is_copy else max(times) - record.started
        seconds = None if was_resumed or is_copy else since_start
        is_complete = isinstance(most, int) and 0 < most <= iterations
        # a run that is out of time saves its last checkpoint after that; max_time counts from
        # each start, a few seconds after the recorded one
        timed_out = limit is not None and since_start >= limit and not is_complete
    rate = iterations * batch / seconds if seconds and isinstance(batch, int) else None
    return Progress(
        iterations,
        most if isinstance(most, int) and most > 0 else None,
        record.started if record is not None else None,
        seconds,
        rate,
        record.environment if record is not None else {},
        timed_out,
    )


def time_limit(config: Mapping[str, Any]) -> float | None:
    """The seconds of ``trainer.max_time`` in a run's settings; None without a limit.

    >>> time_limit({"trainer": {"max_time": "00:01:00:05"}})
    3605.0
    """
    section = config.get("trainer")
    limit = section.get("max_time") if isinstance(section, Mapping) else None
    with suppress(TypeError, ValueError, OverflowError):  # of settings that were edited by hand
        if isinstance(limit, str):
            days, hours, minutes, seconds = map(int, limit.split(":"))
            return timedelta(days, seconds, hours=hours, minutes=minutes).total_seconds()
        if isinstance(limit, Mapping):
            return timedelta(**limit).total_seconds()
    return None


def resume_command(run: Path, last: Path, most: int | None) -> str:
    """The command that continues a run from its last intact checkpoint.

    Args:
        run: its folder.
        last: the checkpoint; of a complete run whose last one is damaged, the one before it.
        most: the iterations that the run was to make; None without a limit.
    """
    command = f"lightning-gans train {shlex.quote(f'ckpt={run}')}"
    is_complete = most is not None and step_of(last) >= most
    return command + (f" trainer.max_steps={2 * step_of(last)}" if is_complete else "")


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


def measures_of(log: Log) -> list[Measured]:
    """What evaluations measured, by name."""
    return [measured(name, *log.series[name]) for name in sorted(log.measured)]


def table(log: Log) -> list[str]:
    """A Markdown table of the first and the last evaluation, or of the only one."""
    return measures_table(measures_of(log), best=False)


def measures_table(measures: Sequence[Measured], best: bool) -> list[str]:
    """A Markdown table of measures: the first and the last evaluation, and the best values.

    Arrows say which way is better. A run with one evaluation has one column, as all of these are
    the same.

    Args:
        measures: of a run.
        best: whether the best values have a column.
    """
    if not measures:
        return ["Nothing was measured."]
    first = min(measure.first.step for measure in measures)
    last = max(measure.last.step for measure in measures)
    steps = [first] if first == last else [first, last]
    heads = [f"step {step}" for step in steps]
    if best and first != last:
        heads.insert(1, "best")
    lines = [f"| measure | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for measure in measures:
        cells = [_at(measure.first, first)]
        if best and first != last:
            cells.append(f"{number(b.value)} (step {b.step})" if (b := measure.best) else "")
        if first != last:
            cells.append(_at(measure.last, last))
        arrow = f" {measure.better}" if measure.better else ""
        lines.append(f"| {cell(measure.name)}{arrow} | {' | '.join(cells)} |")
    return lines


def _at(point: Point, step: int) -> str:
    return number(point.value) if point.step == step else ""


def summary(found: Report) -> str:
    """What is printed of a report: the table, and a list of files."""
    lines = [f"# {printable(found.run)}", "", *measures_table(found.measures, best=False), ""]
    for kind, files in (
        ("pictures", found.pictures),
        ("checkpoints", found.checkpoints),
        ("numbers", found.numbers),
    ):
        lines += [f"{kind}:", *(f"- {printable(file)}" for file in files), ""]
    lines += [f"problem: {printable(problem)}" for problem in found.problems]
    return "\n".join(lines)


def markdown(found: Report) -> str:
    """The report as Markdown; its pictures are named relative to the run's folder."""
    lines = [f"# {printable(found.run)}", "", *about(found), ""]
    lines += ["## Measurements", "", *measures_table(found.measures, best=True), ""]
    if options := changed(found.settings):
        lines += ["## Settings", "", "Those that differ from the defaults, or have none.", ""]
        lines += settings_table(options)
        lines.append("")
    if found.pictures:
        lines += ["## Pictures", ""]
        for picture in found.pictures:
            place = picture.relative_to(found.run).as_posix()
            lines += [f"{picture.stem}:", "", f"![{picture.stem}]({place})", ""]
    lines += ["## Files", ""]
    files = [*found.checkpoints, *found.numbers]
    lines += [f"- {printable(file.relative_to(found.run).as_posix())}" for file in files] or [
        "None."
    ]
    lines += ["", "## Resume", ""]
    if found.resume is None:
        lines.append("No intact checkpoint was saved; the run can only be started again.")
    else:
        lines += ["```", printable(found.resume), "```"]
    lines += ["", "## Cite", "", *CITATION, ""]
    return "\n".join(lines)


def about(found: Report) -> list[str]:
    """What a run is and how far it came, as a list."""
    progress = found.progress
    lines = [
        f"- model: {found.model or 'unknown'}",
        f"- data: {found.data or 'unknown'}",
        f"- iterations: {progress.made}{progress.shortfall}",
    ]
    if progress.started is not None:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(progress.started))
        lines.append(f"- started: {text}{' (last)' if progress.seconds is None else ''}")
    if progress.seconds is not None:
        lines.append(f"- time: {duration(progress.seconds)}")
    if progress.images_per_second is not None:
        lines.append(f"- images a second: {progress.images_per_second:.3g}, with evaluations")
    return lines + [f"- problem: {printable(problem)}" for problem in found.problems]


def settings_table(options: Mapping[str, Setting]) -> list[str]:
    """A Markdown table of options, their values and defaults."""
    lines = ["| setting | value | default |", "|---|---|---|"]
    for name, option in options.items():
        default = "" if option.default is UNKNOWN else cell(shown(option.default))
        lines.append(f"| {cell(name)} | {cell(shown(option.value))} | {default} |")
    return lines


def newest_pictures(folder: Path) -> list[Path]:
    """For each kind of picture the one of the last iteration."""
    return [found[-1][1] for found in pictures_of(folder).values()]


def pictures_of(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """The pictures ``<kind>-step=<n>.png`` in a folder, by kind, as (n, file) in this order.

    Files with other names are not a run's, and are left out.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        match = _PICTURE.fullmatch(file.name)
        if match and file.is_file():
            found.setdefault(match[1], []).append((int(match[2]), file))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def labels(folders: Sequence[Path]) -> list[str]:
    """For each folder the part of its path in which it differs from the others.

    >>> labels([Path("runs/gan/a"), Path("runs/dlsgan/a")])
    ['gan/a', 'dlsgan/a']
    """
    places = [folder.resolve() for folder in folders]
    common = Path(os.path.commonpath([place.parent for place in places]))
    return [printable(place.relative_to(common).as_posix()) for place in places]


def _files(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _times(paths: Any) -> list[float]:
    """When files were last written; files that are not there are left out."""
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(path.stat().st_mtime)
    return found


def _name(options: Mapping[str, Setting], key: str) -> str | None:
    value = options[key].value if key in options else None
    return printable(value) if isinstance(value, str) else None
