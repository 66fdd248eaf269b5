"""Damaged files in the folder of a run that is resumed: kept under another name, not in the way.

Imports nothing heavy.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from lightning_gans.runs.atomic import set_aside, write_text
from lightning_gans.runs.folder import FOLDER, PICTURES

# what a run writes, by whether it is a folder
FOLDERS = (FOLDER, PICTURES, "wandb", "tensorboard")
# characters in a line of metrics.csv; the csv module refuses values that are longer
LONGEST = 100_000
FILES = (
    "metrics.csv",
    "config.yaml",
    "report.md",
    "report.html",
    "curves.png",
    "run.json",
    "wandb.json",
)


def clear_way(run: Path) -> None:
    """Rename what has the name of one of the run's files or folders but is of the other kind."""
    for names, is_right, what in (
        (FOLDERS, Path.is_dir, "a folder"),
        (FILES, Path.is_file, "a file"),
    ):
        for name in names:
            path = run / name
            if os.path.lexists(path) and not is_right(path):
                set_aside(path, f"expected {what}")


def salvage_rows(file: Path) -> None:
    """Rewrite a damaged ``metrics.csv`` with its undamaged rows; the damaged one is kept.

    A killed run may leave half a line at the end, which is no damage.

    Args:
        file: does nothing if there is none.
    """
    if not file.is_file():
        return
    content = file.read_bytes()
    if not content:
        return
    text = content.decode("utf-8-sig", errors="replace")
    names, rows, bad = parse(text.splitlines(keepends=True))
    # a spreadsheet may have added a mark of the byte order
    if names and not bad and text.encode() == content:
        return
    set_aside(file, f"damaged; {len(rows)} rows of it are used")
    if names:
        written = io.StringIO(newline="")
        writer = csv.DictWriter(written, names)
        writer.writeheader()
        writer.writerows(rows)
        write_text(file, written.getvalue())


def parse(lines: list[str]) -> tuple[list[str], list[dict[str, str]], int]:
    """The columns of a ``metrics.csv``, its complete rows, and how many others it has.

    Args:
        lines: with their ends.

    Returns:
        No columns if the first line does not name them.
    """
    records = [next(csv.reader([line]), []) if is_plain(line) else [] for line in lines]
    names = records[0] if records else []
    if "step" not in names or len(set(names)) != len(names) or not all(map(is_plain, names)):
        return [], [], len(lines)
    rows, bad = [], 0
    for index, record in enumerate(records[1:], start=1):
        row = dict(zip(names, record, strict=False))
        if len(record) == len(names) and is_row(row):
            rows.append(row)
        # what is left of a line that was being written when its run was killed
        elif index < len(lines) - 1 or lines[index].endswith("\n") or not is_plain(lines[index]):
            bad += 1
    return names, rows, bad


def is_plain(text: str) -> bool:
    """Whether a text could be of a log of numbers, by its characters and its length."""
    plain = text.rstrip("\r\n").isprintable() and "\ufffd" not in text
    return plain and len(text) <= LONGEST


def is_row(row: dict[str, str]) -> bool:
    """Whether all values of a row are numbers or empty, and its step is a count."""
    step = row["step"]
    if not (step.isascii() and step.isdigit() and len(step) < 20):
        return False
    try:
        for value in row.values():
            float(value or 0)
    except ValueError:
        return False
    return True
