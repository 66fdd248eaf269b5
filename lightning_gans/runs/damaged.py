"""Damaged files in the folder of a run that is resumed: kept under another name, not in the way.

Imports nothing heavy.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import warnings
from pathlib import Path

from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.folder import FOLDER, PICTURES

# what a run writes, by whether it is a folder
FOLDERS = (FOLDER, PICTURES, "wandb", "tensorboard")
FILES = ("metrics.csv", "config.yaml", "report.md", "curves.png", "run.json", "wandb.json")


def set_aside(path: Path, reason: str) -> Path:
    """Rename a file or folder to a name that is free, and say so in a warning.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> _ = file.write_text("?")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     set_aside(file, "it is damaged").name
    'metrics.damaged.csv'
    """
    for number in itertools.count(1):
        mark = ".damaged" if number == 1 else f".damaged-{number}"
        kept = path.with_name(f"{path.stem}{mark}{path.suffix}")
        if not os.path.lexists(kept):
            break
    path.rename(kept)
    warnings.warn(f"{path}: {reason}; it is kept as {kept.name}", stacklevel=2)
    return kept


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
    try:
        lines = content.decode("utf-8").splitlines(keepends=True)
        names, rows, bad = parse(lines)
    except UnicodeDecodeError:
        lines = content.decode("utf-8", errors="replace").splitlines(keepends=True)
        names, rows, bad = parse(lines)
        bad = max(bad, 1)
    if names and not bad:
        return
    set_aside(file, f"damaged; {len(rows)} rows of it are used")
    if names:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(rows)
        write_text(file, text.getvalue())


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
        elif index < len(lines) - 1 or lines[index].endswith("\n"):
            bad += 1
    return names, rows, bad


def is_plain(text: str) -> bool:
    """Whether a text has no characters that a log of numbers never has."""
    return text.rstrip("\r\n").isprintable() and "\ufffd" not in text


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
