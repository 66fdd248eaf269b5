"""What a run came to: a table of its measures, its curves, and where its pictures are."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from lightning_gans.callbacks.pictures import FOLDER as IMAGES
from lightning_gans.runs.metrics_csv import FILE, whole
from lightning_gans.plots import curves
from lightning_gans.runs.folder import FOLDER as CHECKPOINTS

Series = dict[str, tuple[list[float], list[float]]]

# what is no measure of the model
ASIDE = ("epoch", "step", "evaluation/samples")
# how the terms of the losses begin: with the player whose they are
LOSSES = ("discriminator/", "generator/", "encoder/", "autoencoder/", "classifier/")


def report(run: Path) -> str:
    """Draw ``curves.png``, write ``report.md``, and return the report's text.

    Args:
        run: a run's folder, with its ``metrics.csv``.
    """
    series = read(run / FILE)
    lines = [f"# {run}", "", *table(series), ""]
    if series:
        curves(
            {name: points for name, points in series.items() if name not in ASIDE},
            run / "curves.png",
        )
    for kind, files in (
        ("pictures", [run / "curves.png", *newest(run / IMAGES, "png")]),
        ("checkpoints", newest(run / CHECKPOINTS, "ckpt")),
        ("numbers", [run / FILE, run / "config.yaml"]),
    ):
        lines += [f"{kind}:", *(f"- {file}" for file in files if file.is_file()), ""]
    text = "\n".join(lines)
    (run / "report.md").write_text(text)
    return text


def read(file: Path) -> Series:
    """The columns of a ``metrics.csv`` as (steps, values), each in order of its steps."""
    series: Series = {}
    if not file.is_file():
        return series
    with file.open(newline="") as lines:
        for row in filter(whole, csv.DictReader(lines)):
            for name, value in row.items():
                if value and name != "step":
                    steps, values = series.setdefault(name, ([], []))
                    steps.append(float(row["step"]))
                    values.append(float(value))
    return series


def table(series: Series) -> list[str]:
    """A Markdown table of the evaluations: first, best-known middle left out, last."""
    measured = {
        name: points
        for name, points in series.items()
        if name not in ("epoch", "step") and not name.startswith(LOSSES)
    }
    if not measured:
        return ["Nothing was measured."]
    first = min(steps[0] for steps, _ in measured.values())
    last = max(steps[-1] for steps, _ in measured.values())
    lines = [f"| measure | step {first:.0f} | step {last:.0f} |", "|---|---:|---:|"]
    for name, (steps, values) in sorted(measured.items()):
        begin = number(values[0]) if steps[0] == first else ""
        end = number(values[-1]) if steps[-1] == last else ""
        lines.append(f"| {name} | {begin} | {end} |")
    return lines


def number(value: float) -> str:
    """Four digits; a count in full."""
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"


def newest(folder: Path, ending: str) -> list[Path]:
    """For each kind of file ``<kind>-step=<n>.<ending>`` the one with the largest n."""
    found: dict[str, tuple[int, Path]] = {}
    for file in folder.glob(f"*-step=*.{ending}"):
        match = re.fullmatch(r"(.+)-step=(\d+)", file.stem)
        if match:
            found[match[1]] = max(found.get(match[1], (-1, file)), (int(match[2]), file))
    return [path for _, path in sorted(found.values(), key=lambda pair: pair[1].name)]
