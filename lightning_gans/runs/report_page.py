"""The report of a run as a page: one file for any browser, which needs no network.

Pictures are in the page, as WebP; curves are drawn from the values of ``metrics.csv``. What comes
from the run's folder is text: Jinja escapes it, and the page's policy runs no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import torch
from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from lightning_gans import __version__
from lightning_gans.errors import UserError, reason
from lightning_gans.runs import charts
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.charts import Chart, chart
from lightning_gans.runs.folder import PICTURES, step_of
from lightning_gans.runs.layout import CONFIG
from lightning_gans.runs.measures import Measured, described, number
from lightning_gans.runs.metrics_csv import SAMPLES
from lightning_gans.runs.report import CITATION, COUNTS, Log, Report, labels, pictures_of
from lightning_gans.runs.settings import UNKNOWN, changed, differences, shown
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.signatures import signature
from lightning_gans.status_line import duration
from lightning_gans.text import printable, printable_lines

PAGE = "report.html"
PARTS = Path(__file__).with_name("page")
# pictures of a kind, at most; spread over the iterations
FRAMES = 16
# characters that all pictures of a page take
PICTURE_BUDGET = 5_000_000
# pixels of a picture that is decoded, and the width of one that is shown
MOST_PIXELS, WIDEST = 40_000_000, 1600
# characters of a config that is shown
LONGEST_CONFIG = 100_000
# the most elements of a latent whose spectrum is read
LONGEST_LATENT = 1_000_000
# measures that stand first, at most this many
CARDS = 4
FIRST = ("fid", "psnr/real", "recall", "accuracy", "cluster", "latent/active", "categories/used")
# what the pictures of each kind show
SHOWS = {
    "samples": "from the same latents each time.",
    "reconstructions": "held-out images, each row above the row of its reconstructions.",
    "traversals": (
        "a row for each of the most informative elements of the latent, which goes from -2 to 2."
    ),
    "edits": (
        "a row for each attribute: a held-out image with less and more of it, from -2 to 2 "
        "standard deviations of its score."
    ),
    "categories": (
        "held-out images, each in the column of the category that the model finds for it, in the "
        "order of the columns of the samples."
    ),
}
T = TypeVar("T")
BETTER = {"↑": "higher is better", "↓": "lower is better"}


@dataclass(frozen=True)
class Frame:
    """A picture in the page.

    Attributes:
        step: the iterations after which it was drawn.
        source: the picture itself, as a data URI.
        width, height: in pixels.
    """

    step: int
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Film:
    """The pictures of a kind over the iterations.

    Attributes:
        kind: such as samples.
        words: what they show; empty if unknown.
        frames: in order, at least one.
    """

    kind: str
    words: str
    frames: Sequence[Frame]

    @property
    def newest(self) -> Frame:
        """The picture of the last iteration."""
        return self.frames[-1]


def write_page(found: Report, log: Log, compared: Sequence[tuple[Report, Log]] = ()) -> Path:
    """Write ``report.html`` into a run's folder.

    Args:
        found: what is known of the run.
        log: its measurements and losses.
        compared: runs to compare it with.

    Returns:
        The file.

    Raises:
        Unwritable: if the operating system does not let it be written.
    """
    write_text(found.run / PAGE, page(found, log, compared))
    return found.run / PAGE


def page(found: Report, log: Log, compared: Sequence[tuple[Report, Log]] = ()) -> str:
    """The page of a run as HTML; arguments as :func:`write_page`."""
    style, script = (
        (PARTS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    problems = [*found.problems]
    config = config_of(found.run)
    films = films_of(found.run / PICTURES, problems)
    runs = [(found, log), *compared]
    names = labels([report.run for report, _ in runs]) if compared else [found.run.name]
    drawn, groups = charts_of(runs, names)
    spectrum, spectrum_text = spectrum_of(found, problems)
    measures = [(m, described(m.name)[1]) for m in found.measures if m.name != SAMPLES]
    told = {
        "title": title(found),
        "lead": lead(found),
        "what": model_summary(config),
        "problems": [printable(problem) for problem in problems],
        "cards": cards(measures),
        "films": films,
        "spectrum": spectrum,
        "spectrum_words": spectrum_text,
        "measures": measures,
        "compared": comparison(runs, names) if compared else None,
        "charts": drawn,
        "groups": groups,
        "settings": [
            (printable(n), shown(o.value), "" if o.default is UNKNOWN else shown(o.default))
            for n, o in changed(found.settings).items()
        ],
        "config": config_text(found.run) if config else "",
        "times": times(found),
        "resume": found.resume,
        "commands": commands(found),
        "citation": CITATION,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "version": __version__,
        "data": {
            "films": [as_data(film) for film in films],
            "charts": [c.data() for c in [*drawn, *([spectrum] if spectrum else [])]],
        },
    }
    return render({**told, "sections": sections(told), "style": style, "script": script})


@cache
def template() -> Template:
    """The page without its contents."""
    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string((PARTS / "report.html").read_text(encoding="utf-8"))


def render(told: Mapping[str, Any]) -> str:
    """The page with its contents, all of which is escaped but our own style and script."""
    size = {
        "width": charts.WIDTH,
        "height": charts.HEIGHT,
        "left": charts.LEFT,
        "right": charts.RIGHT,
        "top": charts.TOP,
        "bottom": charts.BOTTOM,
    }
    return (
        template().render(told, size=size, better=BETTER, number=number, hash=source_hash).lstrip()
    )


def source_hash(text: str) -> str:
    """The hash by which a page's policy allows a style or a script.

    >>> source_hash("alert(1)")[:20]
    'sha256-bhHHL3z2vDgxU'
    """
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def sections(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections that the page has, as (id, name)."""
    every = {
        "pictures": ("Pictures", told["films"]),
        "spectrum": ("Latent", told["spectrum"]),
        "measurements": ("Measurements", True),
        "compared": ("Compared runs", told["compared"]),
        "curves": ("Curves", told["charts"]),
        "settings": ("Settings", True),
        "time": ("Time", True),
        "resume": ("Resume", True),
        "cite": ("Cite", True),
    }
    return [(name, text) for name, (text, there) in every.items() if there]


def title(found: Report) -> str:
    """Model, data and the name of the run's folder."""
    named = [f"{found.model} on {found.data}"] if found.model and found.data else []
    return ", ".join([*named, printable(found.run.resolve().name)])


def lead(found: Report) -> str:
    """What the run is, in a sentence."""
    progress = found.progress
    text = f"{found.model or 'A model'} on {found.data or 'unknown data'}: "
    text += f"{progress.made} iterations"
    if progress.seconds is not None:
        text += f" in {duration(progress.seconds)}"
    return f"{text}{progress.shortfall}."


def config_of(run: Path) -> Mapping[str, Any]:
    """The settings of a run; empty if they cannot be read, which its report says."""
    try:
        return read_mapping(run / CONFIG)
    except (UserError, OSError):
        return {}


def config_text(run: Path) -> str:
    """The file of settings as it is, up to a length."""
    text = (run / CONFIG).read_text(encoding="utf-8", errors="replace")
    cut = "" if len(text) <= LONGEST_CONFIG else "\n..."
    return printable_lines(text[:LONGEST_CONFIG]) + cut


def model_summary(config: Mapping[str, Any]) -> str:
    """What a model of this package is, by the first line of its docstring; empty for others."""
    section = config.get("model")
    path = section.get("class_path") if isinstance(section, dict) else None
    if not isinstance(path, str):
        return ""
    module, _, name = path.rpartition(".")
    known = signature(module, name)
    return f"{name}: {known.summary}" if known is not None else ""


def cards(measures: Sequence[tuple[Measured, str]]) -> list[tuple[Measured, str]]:
    """The measures that stand first."""
    chosen = []
    for kind in FIRST:
        named = [m for m in measures if kind in (m[0].name, m[0].name.partition("/")[0])]
        chosen += named[:1]
    return chosen[:CARDS]


def films_of(folder: Path, problems: list[str]) -> list[Film]:
    """The pictures of a run, those of the latents first.

    Args:
        folder: of the pictures.
        problems: lines on pictures that cannot be read are added.
    """
    kinds = pictures_of(folder)
    films = []
    for kind in sorted(kinds, key=lambda kind: list(SHOWS).index(kind) if kind in SHOWS else 9):
        frames = []
        for step, path in spread(kinds[kind], FRAMES):
            try:
                frames.append(frame(step, path))
            # decoders raise almost anything for damaged files
            except Exception as error:
                problems.append(f"{path.name} cannot be read: {reason(error)}")
        frames = within_budget(frames, PICTURE_BUDGET // len(kinds))
        if frames:
            films.append(Film(kind, SHOWS.get(kind, ""), frames))
    return films


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of some items, evenly spaced, with the first and the last.

    >>> spread(range(10), 4), spread(range(3), 4)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def within_budget(frames: Sequence[Frame], budget: int) -> list[Frame]:
    """Frames that take at most so many characters; the last one stays while any does."""
    kept = list(frames)
    while kept and sum(len(each.source) for each in kept) > budget:
        kept = spread(kept, len(kept) // 2) if len(kept) > 3 else kept[-1:] * (len(kept) > 1)
    return kept


def frame(step: int, path: Path) -> Frame:
    """A picture as it is in the page.

    Raises:
        UserError: if it has too many pixels.
        OSError: if it is not a PNG.
    """
    with Image.open(path, formats=["PNG"]) as file:
        width, height = file.size
        if width * height > MOST_PIXELS:
            raise UserError(f"{width:,} x {height:,} pixels are too many for the page")
        picture = file.convert("RGB")
    if width > WIDEST:
        picture = picture.resize((WIDEST, max(1, round(height * WIDEST / width))))
    content = BytesIO()
    # a few colours, as in digits, are smaller without loss; method 2 takes a third of the time
    picture.save(content, format="WEBP", quality=85, method=2)
    text = base64.b64encode(content.getvalue()).decode()
    return Frame(step, f"data:image/webp;base64,{text}", picture.width, picture.height)


def as_data(film: Film) -> dict[str, object]:
    """What the page's script needs of a film; it finds the newest frame in the page itself."""
    frames = [{"step": each.step, "source": each.source} for each in film.frames]
    frames[-1] = {"step": film.newest.step, "source": ""}
    return {"kind": film.kind, "frames": frames}


def charts_of(
    runs: Sequence[tuple[Report, Log]], names: Sequence[str]
) -> tuple[list[Chart], list[tuple[str, list[int]]]]:
    """The charts of a run and the runs that it is compared with.

    Returns:
        All charts, and for each heading the indices of its charts.
    """
    found = runs[0][1]
    drawn: list[Chart] = []
    groups: dict[str, list[int]] = {}
    measured = [name for name in sorted(found.series) if name in found.measured]
    trained = [name for name in found.series if name not in found.measured]
    for heading, columns in (("Evaluations", measured), ("Training", trained)):
        for name in columns:
            curves = {
                printable(label): log.series[name]
                for label, (_, log) in zip(names, runs, strict=True)
                if name in log.series
            }
            made = None if name in COUNTS else chart(name, curves)
            if made is not None:
                groups.setdefault(heading, []).append(len(drawn))
                drawn.append(replace(made, name=printable(made.name)))
    return drawn, list(groups.items())


def spectrum_of(found: Report, problems: list[str]) -> tuple[Chart | None, str]:
    """The elements of v by rank, and a line on them; None if the model has no v.

    Args:
        found: what is known of the run; v is that of its newest intact checkpoint.
        problems: a line on a checkpoint whose v cannot be read is added.
    """
    checkpoint = found.intact or next(reversed(found.checkpoints), None)
    try:
        v = None if checkpoint is None else read_v(checkpoint)
    # a damaged checkpoint can raise anything
    except Exception as error:
        name = "" if checkpoint is None else checkpoint.name
        problems.append(f"the spectrum of v is left out, {name} cannot be read: {reason(error)}")
        return None, ""
    if v is None:
        return None, ""
    words = spectrum_words(v, 0 if checkpoint is None else step_of(checkpoint))
    return chart("v", {"v": (range(1, len(v) + 1), v)}, "element by rank"), words


def read_v(checkpoint: Path) -> list[float] | None:
    """The second moments v of a checkpoint, the largest first; None if its model has none.

    Raises:
        UserError: if v is not one of a latent.
        Exception: of any kind if the file is damaged.
    """
    # nothing but tensors and plain data is read, and only the parts that are used
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    v = content["state_dict"].get("prior.v")
    if v is None:
        return None
    if v.ndim != 1 or not 1 < len(v) <= LONGEST_LATENT:
        raise UserError(f"v has the shape {tuple(v.shape)}")
    values: list[float] = v.double().sort(descending=True).values.tolist()
    if not all(map(math.isfinite, values)):
        raise UserError("v has non-finite values")
    return values


def spectrum_words(v: Sequence[float], iterations: int) -> str:
    """How many elements of a spectrum carry information, as ``latent/active`` counts them.

    >>> spectrum_words([0.9, 0.1, 0.03, 0.02], 5000)[:60]
    'After 5,000 iterations, the first 2 of 4 elements are at lea'
    """
    # the rule of metrics.active_dimensions, which cannot be imported here
    active = sum(value > 0 and value >= 0.1 * max(v) for value in v)
    return (
        f"After {iterations:,} iterations, the first {active} of {len(v)} elements are at least a "
        "tenth of the largest: these carry information, and latent/active is their number."
    )


def comparison(runs: Sequence[tuple[Report, Log]], names: Sequence[str]) -> dict[str, object]:
    """The table of compared runs, as the page has it."""
    by_run = [{m.name: m for m in report.measures if m.name != SAMPLES} for report, _ in runs]
    rows = []
    for name in sorted({name for found in by_run for name in found}):
        values = [m.last.value if (m := found.get(name)) else None for found in by_run]
        better = described(name)[0]
        rows.append(
            {
                "name": printable(name),
                "better": better,
                "cells": values,
                "best": index_of_best(values, better),
            }
        )
    differing = differences([report.settings for report, _ in runs])
    return {
        "runs": [
            {"label": printable(label), "text": lead(report)}
            for label, (report, _) in zip(names, runs, strict=True)
        ],
        "rows": rows,
        "differences": [
            (printable(name), ["" if value is None else shown(value.value) for value in values])
            for name, values in differing.items()
        ],
        "notes": notes_on([report for report, _ in runs], names),
    }


def index_of_best(values: Sequence[float | None], better: str) -> int | None:
    """The run with the best value; None if several have it, or neither way is better.

    >>> index_of_best([3.0, None, 2.0], "↓"), index_of_best([2.0, 2.0], "↑")
    (2, None)
    """
    there = [value for value in values if value is not None and math.isfinite(value)]
    if len(there) < 2 or not better:
        return None
    best = max(there) if better == "↑" else min(there)
    return list(values).index(best) if there.count(best) == 1 else None


def notes_on(reports: Sequence[Report], names: Sequence[str]) -> list[str]:
    """What makes the values of runs hard to compare."""
    notes = []
    if len({report.data for report in reports}) > 1:
        notes.append("The runs were measured on different data.")
    for report, name in zip(reports, names, strict=True):
        progress = report.progress
        if progress.timed_out:
            notes.append(f"{name} made {progress.made} iterations{progress.shortfall}.")
        elif progress.shortfall:
            notes.append(f"{name} is not complete.")
    return [printable(note) for note in notes]


def times(found: Report) -> list[tuple[str, str]]:
    """When and how fast the run was trained, and with what."""
    progress = found.progress
    lines = []
    if progress.started is not None:
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(progress.started))
        lines.append(("started" if progress.seconds is not None else "last started", text))
    if progress.seconds is not None:
        lines.append(("time", f"{duration(progress.seconds)}, with evaluations"))
        if progress.iterations:
            each = progress.seconds / progress.iterations
            text = f"{number(each)} s" if each >= 1 else f"{number(1000 * each)} ms"
            lines.append(("an iteration", f"{text}, with evaluations"))
    if progress.images_per_second is not None:
        lines.append(("images a second", f"{progress.images_per_second:.3g}"))
    return lines + [
        (printable(name), printable(value)) for name, value in progress.environment.items()
    ]


def commands(found: Report) -> list[str]:
    """What can be typed next."""
    if found.resume is None:
        return []
    ckpt = shlex.quote(f"ckpt={found.run}")
    lines = [found.resume, f"lightning-gans generate {ckpt}"]
    lines += [f"lightning-gans invert {ckpt} images=FOLDER", f"lightning-gans app {ckpt}"]
    return [printable(line) for line in lines]
