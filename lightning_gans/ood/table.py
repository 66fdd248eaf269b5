"""The table of a benchmark as Markdown, as CSV and as a picture."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lightning_gans.ood.benchmark import COMBINED, MEAN, TYPICAL, Row, Scored, held_out
from lightning_gans.ood.resampling import MEASURES, Estimate
from lightning_gans.runs.atomic import replacing
from lightning_gans.text import printable

Pair: TypeAlias = tuple[str, str]

TITLES = {
    "auroc": "AUROC in %: 50 is chance, 100 is perfect",
    "aupr": "AUPR in %: 50 is chance, 100 is perfect",
    "fpr95": "FPR at a TPR of 95 %, in %: 95 is chance, 0 is perfect",
}

# by the source of a set, what the table says of it
_SOURCES = {
    "files": "Images read from files",
    "made": "Images made by this package",
    "files and made": "Images read from files in some folds, made by this package in others",
}


@dataclass(frozen=True)
class Facts:
    """How the values of a table were obtained.

    Attributes:
        data: the name of the data.
        near: the share of the OOD image in near images.
        auroc: how the area under the curve was computed, "exact" or "coarse".
        repetitions: samples of the bootstrap.
        models: their checkpoints by name.
        missing: by name, why a set is not there.
        unreadable: by what could not be read or scored, why.
        sources: of the images of each set, as in :class:`Row`, by its name.
        folders: by name, the folder of a set that is not mixed.
    """

    data: str
    near: float
    auroc: str
    repetitions: int
    models: Mapping[str, str]
    missing: Mapping[str, str]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)


def report(facts: Facts, rows: Sequence[Row], folds: Sequence[Mapping[str, Scored]]) -> str:
    """The tables as Markdown, with how they were obtained above them.

    Args:
        facts: how they were obtained.
        rows: their values.
        folds: the scores that were measured, for each fold.
    """
    n = len(next(iter(next(iter(folds[0].values())).id_scores.values())))
    lines = [
        f"# OOD detection: {facts.data}",
        "",
        f"- ID: the first {n:,} test images. A smaller set is compared with as many of them as it "
        "has images; of a larger set, only as many images are taken.",
    ]
    if any(row.set not in (*facts.folders, MEAN) for row in rows):
        lines.append(
            f"- Near images are {facts.near:g} OOD image + {1 - facts.near:g} ID image, paired by "
            "index."
        )
    lines += [
        f"- Set {name}: the images of {printable(folder)}, as they are."
        for name, folder in facts.folders.items()
    ]
    if len(folds) > 1:
        lines.append(
            f"- Values are means over {len(folds)} folds; in brackets, Student's 95 % interval."
        )
    elif facts.repetitions:
        lines.append(
            f"- In brackets, the 95 % interval of {facts.repetitions:,} bootstrap samples of the "
            "images; it does not cover other training runs."
        )
    if facts.auroc == "coarse":
        lines.append("- AUROC is coarse: its thresholds are only every tenth ID score.")
    if any(row.score in (COMBINED, TYPICAL) for row in rows):
        last = held_out(n)
        lines.append(
            f"- {TYPICAL} and {COMBINED} compare with the last {last:,} ID images, which are held "
            f"out for that: they are measured on the first {n - last:,} images of ID and of sets."
        )
    for source, text in _SOURCES.items():
        if names := [name for name, of in facts.sources.items() if of == source]:
            lines.append(f"- {text}: {', '.join(names)}.")
    lines += [f"- Missing: {name}. {why}" for name, why in facts.missing.items()]
    lines += [f"- Left out: {what}. {why}" for what, why in facts.unreadable.items()]
    lines += [f"- Model {name}: {path}" for name, path in facts.models.items()]
    return "\n".join([*lines, "", markdown(rows), ""])


def markdown(rows: Sequence[Row]) -> str:
    """One table for each measure: a row for each set, a column for each score of a model."""
    return "\n\n".join(f"## {TITLES[measure]}\n\n{_table(rows, measure)}" for measure in MEASURES)


def _table(rows: Sequence[Row], measure: str) -> str:
    columns, places, cells = _arranged(rows)
    lines = [
        "| | set | " + " | ".join(f"{model} {score}" for model, score in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for kind, name in places:
        texts = [_text(cells[(kind, name), column].measures[measure]) for column in columns]
        label = f"**{name}**" if name == MEAN else name
        lines.append(f"| {kind} | {label} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _text(estimate: Estimate) -> str:
    value, low, high = (f"{100 * number:.2f}" for number in estimate)
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write a line for each row, values in [0, 1] at full precision; without an interval, empty."""
    ends = ("", "_low", "_high")
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        heads = [f"{measure}{end}" for measure in MEASURES for end in ends]
        writer.writerow(["model", "score", "kind", "set", "source", "images", *heads])
        for row in rows:
            numbers = [number for measure in MEASURES for number in row.measures[measure]]
            texts = ["" if math.isnan(number) else repr(number) for number in numbers]
            place = [row.model, row.score, row.kind, row.set, row.source, row.images]
            writer.writerow([*place, *texts])


def as_json(facts: Facts, rows: Sequence[Row]) -> str:
    """The table and how it was obtained as JSON, values in [0, 1]; null without an interval."""
    content = {
        "data": facts.data,
        "near": facts.near,
        "auroc": facts.auroc,
        "bootstrap": facts.repetitions,
        "models": dict(facts.models),
        "sources": dict(facts.sources),
        "missing": dict(facts.missing),
        "unreadable": dict(facts.unreadable),
        "rows": [
            {
                **{"model": row.model, "score": row.score, "kind": row.kind, "set": row.set},
                **{"source": row.source, "images": row.images},
                **{
                    measure: {
                        end: None if math.isnan(value) else value
                        for end, value in row.measures[measure]._asdict().items()
                    }
                    for measure in MEASURES
                },
            }
            for row in rows
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw AUROC as a heat map from chance to 100 %, a PNG file."""
    columns, places, cells = _arranged(rows)
    values = np.array(
        [[cells[place, column].measures["auroc"].value for column in columns] for place in places]
    )
    figure = Figure(
        figsize=(2.6 + 0.75 * len(columns), 1.8 + 0.27 * len(places)), dpi=120, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(100 * values, cmap="cividis", vmin=50, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column,
            row,
            f"{100 * value:.1f}",
            ha="center",
            va="center",
            fontsize=7,
            color="black" if value > 0.75 else "white",
        )
    labels = [f"{model}\n{score}" for model, score in columns]
    axes.set_xticks(range(len(columns)), labels, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(places)), [" ".join(place) for place in places], fontsize=7)
    figure.colorbar(image, label="AUROC in %", extend="min")
    with replacing(path) as new:
        figure.savefig(new, format="png")


def _arranged(
    rows: Sequence[Row],
) -> tuple[
    list[Pair],
    list[Pair],
    Mapping[tuple[Pair, Pair], Row],
]:
    """The columns (model, score), the lines (kind, set), and the row of each pair of them."""
    columns = list(dict.fromkeys((row.model, row.score) for row in rows))
    places = list(dict.fromkeys((row.kind, row.set) for row in rows))
    return columns, places, {((r.kind, r.set), (r.model, r.score)): r for r in rows}
