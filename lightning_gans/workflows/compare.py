"""Several runs beside one another: settings, measurements, curves and pictures."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

from PIL import Image

from lightning_gans import __version__
from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.paths import typed_path
from lightning_gans.plots import compared_curves
from lightning_gans.ranges import checked
from lightning_gans.runs.atomic import replacing, write_text
from lightning_gans.runs.layout import is_complete
from lightning_gans.runs.measures import Arrow, Measured, Point, described, is_wide, number
from lightning_gans.runs.metrics_csv import FILE, SAMPLES
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.report import Log, Report, collect, labels, read
from lightning_gans.runs.settings import Setting, differences, shown
from lightning_gans.status_line import duration
from lightning_gans.text import cell, name_part, printable
from lightning_gans.workflows.info import finite
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.picture_table import side_by_side
from lightning_gans.workflows.report import check_distinct, run_folder

RESULT, REPORT = "compare.json", "compare.md"
SEED = "seed_everything"
# settings that do not change what is trained: speed, and where things are kept
IMMATERIAL = (SEED, "threads", "data.workers", "data.cache", "logger")
# the side of a picture above which it is no run's, in pixels
LARGEST = 20_000


@dataclass(frozen=True)
class Spread:
    """A measure of the runs of a group.

    Attributes:
        mean: over the runs.
        sd: standard deviation over the runs; None of one run.
        values: of each.
        steps: after which iteration each was measured.
    """

    mean: float
    sd: float | None
    values: tuple[float, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class ComparedMeasure:
    """A measure of all groups.

    Attributes:
        better: where its values are better.
        last: by group, its last values; without the groups that lack it.
        best: by group, its best values; empty if neither way is better.
        best_last: the group whose last values are best on average; None if several are, only one
            has it, or neither way is better.
        best_best: likewise, of the best values.
    """

    better: Arrow
    last: Mapping[str, Spread]
    best: Mapping[str, Spread]
    best_last: str | None
    best_best: str | None


@dataclass(frozen=True)
class ComparedRun:
    """A run that is compared.

    Attributes:
        label: the part of its path in which it differs from the others.
        group: the name of its group; its label if no two runs differ only by their seeds.
        report: what is known of it.
        log: its measurements.
    """

    label: str
    group: str
    report: Report
    log: Log


@dataclass(frozen=True)
class Comparison:
    """What is written about several runs.

    Attributes:
        runs: in the order in which they were named.
        differences: by option, the setting of each run; None where it has none.
        measures: by name.
        notes: what to know before values are compared.
    """

    runs: Sequence[ComparedRun]
    differences: Mapping[str, Sequence[Setting | None]]
    measures: Mapping[str, ComparedMeasure]
    notes: Sequence[str]

    @property
    def groups(self) -> dict[str, list[ComparedRun]]:
        """The runs of each group, by its name."""
        found: dict[str, list[ComparedRun]] = {}
        for run in self.runs:
            found.setdefault(run.group, []).append(run)
        return found


@dataclass(frozen=True)
class Compared(Outcome):
    """The comparison of runs.

    Attributes:
        content: what is written about them, as typed data.
    """

    content: Comparison | None = None


@checked
def compare(runs: Sequence[str], out: str | None = None) -> Compared:
    """Compare runs: their settings, measurements, curves and pictures beside one another.

    lightning-gans compare runs/dlsgan/mnist5k/TIME runs/gan/mnist5k/TIME
    lightning-gans compare runs/dlsgan/photos/* out=comparison

    Runs that differ only by their seeds are one group, whose measures are means and standard
    deviations. Writes compare.md, a figure of each measure, the runs' newest pictures side by side,
    and compare.json, to a new folder. Nothing is loaded. Runs that were stopped, or still train,
    are compared as far as they came.

    Args:
        runs: folders of runs, or checkpoints in them, at least two; also last or best, of the
            newest run.
        out: a folder for the results, instead of a new one in runs.

    Returns:
        The comparison, and the folder of its results.

    Raises:
        UsageError: if fewer than two runs are named, one is named twice, or out has results.
        UserError: if a folder is not a run's, or nothing was measured in it.
    """
    if out is not None and is_complete(typed_path(out), RESULT):
        raise UsageError(f"out={out} already has a {RESULT}; choose another folder")
    content = comparison(found_runs(runs))
    names = {run.report.model or "models" for run in content.runs}
    place = {"model": "compare", "data": "-".join(sorted(names)).lower()}
    notes = {"command": "compare", "version": __version__}
    with new_results(place, "compare", notes, out, new=RESULT) as folder:
        figures = draw_curves(content, folder)
        pictures, unreadable = draw_pictures(content, folder)
        for line in unreadable:
            print(printable(line), file=sys.stderr)
        text = markdown(content, figures, pictures, unreadable)
        write_text(folder / REPORT, text)
        plain = json.dumps(finite(as_data(content, figures, pictures)), indent=1)
        write_text(folder / RESULT, plain + "\n")
    shown_text = "\n".join([*tables(content), ""])
    return Compared(folder, f"{shown_text}\ncomparison: {folder / REPORT}", content=content)


def found_runs(typed: Sequence[str]) -> list[Path]:
    """The folders of the runs that were typed.

    Raises:
        UsageError: if there are fewer than two, or one is named twice.
        CheckpointMissing: if one is not a run's folder.
    """
    if len(typed) < 2:
        raise UsageError(
            f"expected at least two runs, got {len(typed)}; lightning-gans report describes one"
        )
    folders = [run_folder(path, "runs") for path in typed]
    check_distinct(folders)
    return folders


def comparison(folders: Sequence[Path]) -> Comparison:
    """Compare the runs in some folders.

    Raises:
        UserError: if nothing was measured in one, or its log cannot be read.
    """
    logs = [read(folder / FILE) for folder in folders]
    for folder, log in zip(folders, logs, strict=True):
        if not log.measured - {SAMPLES}:
            raise UserError(
                f"nothing was measured in {folder} yet; wait for its first evaluation, or leave "
                "it out"
            )
    reports = [collect(folder, log) for folder, log in zip(folders, logs, strict=True)]
    names = labels(folders)
    runs = [
        ComparedRun(label, group, report, log)
        for label, group, report, log in zip(
            names, groups_of(reports, names), reports, logs, strict=True
        )
    ]
    differing = differences([report.settings for report in reports])
    return Comparison(runs, differing, dict(compared_measures(runs)), notes_on(runs))


def groups_of(reports: Sequence[Report], names: Sequence[str]) -> list[str]:
    """The group of each run: those with the same settings, but other seeds, are one.

    Runs whose settings are unknown, and those of one seed, are groups of their own.

    Args:
        reports: of the runs.
        names: their labels.
    """
    kinds: list[object] = []
    seen: set[tuple[str, object]] = set()
    for index, report in enumerate(reports):
        options = {name: shown_fully(option) for name, option in report.settings.items()}
        seed = options.get(SEED)
        rest = {name: value for name, value in options.items() if name not in IMMATERIAL}
        key = json.dumps(rest, sort_keys=True)
        alone = not rest or seed is None or (key, seed) in seen
        seen.add((key, seed))
        kinds.append(index if alone else key)
    order = list(dict.fromkeys(kinds))
    if len(order) == len(kinds):
        return list(names)
    sizes = [kinds.count(kind) for kind in order]
    titles = [
        f"{letters(index)} ({size} seeds)" if size > 1 else letters(index)
        for index, size in enumerate(sizes)
    ]
    return [titles[order.index(kind)] for kind in kinds]


def shown_fully(option: Setting) -> str:
    """The value of an option as text; equal texts mean equal values."""
    return json.dumps(option.value, sort_keys=True, default=str)


def letters(index: int) -> str:
    """A name for a group.

    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    text = chr(ord("A") + index % 26)
    return text if index < 26 else letters(index // 26 - 1) + text


def compared_measures(runs: Sequence[ComparedRun]) -> Iterator[tuple[str, ComparedMeasure]]:
    """Each measure of the runs, by name; the number of images is none."""
    by_name: dict[str, dict[str, list[Measured]]] = {}
    for run in runs:
        for measure in run.report.measures:
            if measure.name != SAMPLES:
                by_name.setdefault(measure.name, {}).setdefault(run.group, []).append(measure)
    for name in sorted(by_name):
        better = described(name)[0]
        last = {group: spread([m.last for m in found]) for group, found in by_name[name].items()}
        best = {
            group: spread(points)
            for group, found in by_name[name].items()
            if (points := [m.best for m in found if m.best is not None])
        }
        yield (
            name,
            ComparedMeasure(better, last, best, winner(last, better), winner(best, better)),
        )


def spread(points: Sequence[Point]) -> Spread:
    """The mean and standard deviation of a measure over runs."""
    values = tuple(point.value for point in points)
    sd = stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None
    return Spread(mean(values), sd, values, tuple(point.step for point in points))


def winner(found: Mapping[str, Spread], better: Arrow) -> str | None:
    """The group whose mean is best; None if it is not the only one, or there is no other."""
    means = {group: value.mean for group, value in found.items() if math.isfinite(value.mean)}
    if not better or len(found) < 2 or not means:
        return None
    best = max(means.values()) if better == "↑" else min(means.values())
    names = [group for group, value in means.items() if value == best]
    return names[0] if len(names) == 1 else None


def notes_on(runs: Sequence[ComparedRun]) -> list[str]:
    """What makes values of runs hard to compare."""
    notes = []
    counts = {
        run.label: run.log.series[SAMPLES][1][-1] for run in runs if SAMPLES in run.log.series
    }
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{label} {number(count)}" for label, count in counts.items())
        notes.append(f"FID and KID depend on the number of images, which differs: {text}")
    data = {run.report.data for run in runs}
    if len(data) > 1:
        names = ", ".join(sorted(str(name) for name in data))
        notes.append(f"the runs were measured on different data: {names}")
    for run in runs:
        progress = run.report.progress
        if progress.timed_out:
            notes.append(f"{run.label} made {progress.made} iterations{progress.shortfall}")
        elif progress.shortfall:
            notes.append(f"{run.label} is not complete: {progress.made} iterations")
        notes += [f"{run.label}: {problem}" for problem in run.report.problems]
    return [printable(note) for note in notes]


def draw_curves(content: Comparison, folder: Path) -> dict[str, str]:
    """Draw the curves of each measure; the file of each by its name.

    Raises:
        Unwritable: if the operating system does not let a file be written.
    """
    files: dict[str, str] = {}
    for name, measure in content.measures.items():
        curves = {
            group: [run.log.series[name] for run in runs if name in run.log.measured]
            for group, runs in content.groups.items()
        }
        curves = {group: found for group, found in curves.items() if found}
        stem = name_part(name.replace("/", "-")).replace(" ", "_")[:80]
        file = next(
            text
            for text in (f"{stem}.png", *(f"{stem}_{i}.png" for i in range(2, len(files) + 3)))
            if text not in files.values()
        )
        values = [value for found in curves.values() for _, part in found for value in part]
        with replacing(folder / "curves" / file) as path:
            title = f"{name} {measure.better}".rstrip()
            compared_curves(title, curves, path, is_wide(values, measure.better))
        files[name] = f"curves/{file}"
    return files


def draw_pictures(content: Comparison, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Put the newest pictures of each kind side by side.

    Returns:
        The file of each kind that several runs have, and lines on what could not be read.

    Raises:
        Unwritable: if the operating system does not let a file be written.
    """
    kinds: dict[str, list[tuple[str, Path]]] = {}
    for run in content.runs:
        for path in run.report.pictures:
            kind, is_of_step, step = path.stem.rpartition("-step=")
            if is_of_step:
                group = "" if run.group == run.label else f"{run.group}: "
                heading = f"{group}{run.label}, step {step}"
                kinds.setdefault(kind, []).append((heading, path))
    files: dict[str, str] = {}
    unreadable = []
    for kind, listed in sorted(kinds.items()):
        found = []
        for heading, path in listed:
            try:
                with Image.open(path) as image:
                    if max(image.size) > LARGEST:
                        raise UserError(f"it has {image.width:,} x {image.height:,} pixels")
                    found.append((heading, image.convert("RGB")))
            # a decoder may raise anything
            except Exception as error:
                unreadable.append(f"{path} cannot be read, and is left out: {reason(error)}")
        if len(found) > 1:
            with replacing(folder / f"{kind}.png") as new:
                side_by_side(found).save(new, format="PNG")
            files[kind] = f"{kind}.png"
    return files, unreadable


def tables(content: Comparison) -> list[str]:
    """The runs, what differs, and the measures as Markdown tables."""
    lines = ["## Runs", "", *runs_table(content), "", "## Settings that differ", ""]
    lines += [*settings_table(content), "", "## Measurements", ""]
    lines += [*(f"- {note}" for note in content.notes), ""] if content.notes else []
    return lines + measures_tables(content)


def runs_table(content: Comparison) -> list[str]:
    """A row for each run."""
    grouped = any(run.group != run.label for run in content.runs)
    head = ["run", *(["group"] if grouped else []), "model", "data", "iterations", "time"]
    lines = [row(head), "|" + "---|" * len(head)]
    for run in content.runs:
        progress = run.report.progress
        cells = [cell(run.label), *([run.group] if grouped else [])]
        cells += [cell(run.report.model or "unknown"), cell(run.report.data or "unknown")]
        cells.append(progress.made)
        cells.append("" if progress.seconds is None else duration(progress.seconds))
        lines.append(row(cells))
    return lines


def settings_table(content: Comparison) -> list[str]:
    """A row for each setting that differs, and a column for each group."""
    if not content.differences:
        return ["None."]
    groups = content.groups
    lines = [row(["setting", *map(cell, groups)]), "|" + "---|" * (len(groups) + 1)]
    for name, values in content.differences.items():
        by_run = dict(zip((run.label for run in content.runs), values, strict=True))
        cells = []
        for runs in groups.values():
            there = [by_run[run.label] for run in runs]
            texts = ["" if option is None else shown(option.value) for option in there]
            cells.append(cell(", ".join(dict.fromkeys(texts))))
        lines.append(row([cell(name), *cells]))
    return lines


def measures_tables(content: Comparison) -> list[str]:
    """Two tables, of the last values and of the best ones."""
    lines: list[str] = []
    grouped = any(len(runs) > 1 for runs in content.groups.values())
    note = ", mean ± standard deviation over seeds" if grouped else ""
    for title, kind in ((f"Last evaluation{note}:", "last"), (f"Best value{note}:", "best")):
        rows = []
        for name, measure in content.measures.items():
            last = kind == "last"
            values = measure.last if last else measure.best
            best = measure.best_last if last else measure.best_best
            if not values:
                continue
            cells = [
                "" if group not in values else marked(values[group], group == best)
                for group in content.groups
            ]
            rows.append(row([f"{cell(name)} {measure.better}".rstrip(), *cells]))
        if rows:
            heads = ["measure", *map(cell, content.groups)]
            lines += ["", title, ""] if lines else [title, ""]
            lines += [row(heads), "|---|" + "---:|" * len(content.groups), *rows]
    return lines


def marked(value: Spread, is_best: bool) -> str:
    """A value as a cell, in bold if it is the best: with its iteration, or its deviation."""
    if len(value.values) > 1:
        text = number(value.mean) + ("" if value.sd is None else f" ± {value.sd:.2g}")
        return f"**{text}**" if is_best else text
    text = number(value.mean)
    return f"{f'**{text}**' if is_best else text} (step {value.steps[0]:,})"


def row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def markdown(
    content: Comparison,
    figures: Mapping[str, str],
    pictures: Mapping[str, str],
    unreadable: Sequence[str],
) -> str:
    """The comparison as Markdown, with its pictures."""
    lines = ["# Comparison of runs", "", *tables(content), "", "Bold: the best group.", ""]
    lines += ["## Curves", ""]
    for name, file in figures.items():
        lines += [f"![{cell(name)}]({file})", ""]
    if pictures or unreadable:
        lines += ["## Pictures", ""]
    for kind, file in pictures.items():
        lines += [f"{kind.capitalize()}, the newest of each run:", "", f"![{kind}]({file})", ""]
    lines += [f"- {printable(line)}" for line in unreadable]
    lines += ["## Folders", ""]
    lines += [f"- {cell(run.label)}: {printable(run.report.run)}" for run in content.runs]
    return "\n".join([*lines, ""])


def as_data(
    content: Comparison, figures: Mapping[str, str], pictures: Mapping[str, str]
) -> dict[str, object]:
    """The comparison as plain data, for programs."""
    return {
        "version": __version__,
        "runs": [
            {
                "run": str(run.report.run),
                "label": run.label,
                "group": run.group,
                "model": run.report.model,
                "data": run.report.data,
                "iterations": run.report.progress.iterations,
                "max_iterations": run.report.progress.most,
                "seconds": run.report.progress.seconds,
            }
            for run in content.runs
        ],
        "differences": {
            name: [None if option is None else option.value for option in values]
            for name, values in content.differences.items()
        },
        "measures": {name: asdict(measure) for name, measure in content.measures.items()},
        "notes": list(content.notes),
        "curves": dict(figures),
        "pictures": dict(pictures),
    }
