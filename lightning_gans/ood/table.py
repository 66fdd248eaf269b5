"""The table of a benchmark: as Markdown, as CSV, and as a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lightning_gans.ood.benchmark import JOINED, MEAN, TYPICAL, Row, Scored, held_out
from lightning_gans.ood.resampling import MEASURES, Estimate

Pair: TypeAlias = tuple[str, str]

TITLES = {
    "auroc": "AUROC in %: 50 is chance, 100 tells all",
    "aupr": "AUPR in %: 50 is chance, 100 tells all",
    "fpr95": "FPR at a TPR of 95 %, in %: 95 is chance, 0 tells all",
}


@dataclass(frozen=True)
class Facts:
    """What has to be known to read a table.

    Attributes:
        data: what the data are called.
        near: the share of the OOD image in near ones.
        auroc: how the area under the curve was taken, "exact" or "coarse".
        repetitions: samples of the bootstrap.
        models: by name, where they are from.
        missing: sets that are not there, and why not.
    """

    data: str
    near: float
    auroc: str
    repetitions: int
    models: Mapping[str, str]
    missing: Mapping[str, str]


def report(facts: Facts, rows: Sequence[Row], folds: Sequence[Mapping[str, Scored]]) -> str:
    """The tables as Markdown, below what has to be known to read them.

    Args:
        facts: that.
        rows: of the tables.
        folds: the scores that they are of.
    """
    n = len(next(iter(next(iter(folds[0].values())).ordinary.values())))
    lines = [
        f"# OOD detection: {facts.data}",
        "",
        f"- ID: the first {n:,} test images. A set is compared with as many of them as it has "
        "images itself, and only its first images are taken if it has more.",
        f"- Near images are {facts.near:g} OOD image + {1 - facts.near:g} ID image, paired by "
        "index.",
    ]
    if len(folds) > 1:
        lines.append(
            f"- Values are means over {len(folds)} folds; in brackets, Student's 95 % interval."
        )
    elif facts.repetitions:
        lines.append(
            f"- In brackets, 95 % of {facts.repetitions:,} bootstrap samples of the images; how "
            "another training would do is not in it."
        )
    if facts.auroc == "coarse":
        lines.append("- AUROC is coarse: thresholds only at every tenth ID score.")
    if any(row.score in (JOINED, TYPICAL) for row in rows):
        last = held_out(n)
        lines.append(
            f"- {TYPICAL} and {JOINED} compare with the last {last:,} ID images, which are held "
            f"out for them: they are measured on the first {n - last:,} images of ID and sets."
        )
    lines += [f"- Missing: {name}. {why}" for name, why in facts.missing.items()]
    lines += [f"- Model {name}: {path}" for name, path in facts.models.items()]
    return "\n".join([*lines, "", markdown(rows), ""])


def markdown(rows: Sequence[Row]) -> str:
    """Three tables, one a measure: a row for each set, a column for each score of a model."""
    return "\n\n".join(f"## {TITLES[measure]}\n\n{_one(rows, measure)}" for measure in MEASURES)


def _one(rows: Sequence[Row], measure: str) -> str:
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
    """A line for each row, numbers in [0, 1] at full precision; no interval is left empty."""
    ends = ("", "_low", "_high")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        heads = [f"{measure}{end}" for measure in MEASURES for end in ends]
        writer.writerow(["model", "score", "kind", "set", "images", *heads])
        for row in rows:
            numbers = [number for measure in MEASURES for number in row.measures[measure]]
            texts = ["" if math.isnan(number) else repr(number) for number in numbers]
            writer.writerow([row.model, row.score, row.kind, row.set, row.images, *texts])


def draw(rows: Sequence[Row], path: Path) -> None:
    """AUROC in colours from chance to 100, as a PNG file."""
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
    figure.savefig(path)


def _arranged(
    rows: Sequence[Row],
) -> tuple[
    list[Pair],
    list[Pair],
    Mapping[tuple[Pair, Pair], Row],
]:
    """The columns (model, score), the lines (kind, set), and the rows by both."""
    columns = list(dict.fromkeys((row.model, row.score) for row in rows))
    places = list(dict.fromkeys((row.kind, row.set) for row in rows))
    return columns, places, {((r.kind, r.set), (r.model, r.score)): r for r in rows}
