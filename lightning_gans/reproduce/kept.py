"""Files that can be made again: what is damaged counts as not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_gans.reproduce.fingerprints import hash_of
from lightning_gans.reproduce.results import as_number, finite
from lightning_gans.runs.atomic import write_text

VALUES = "values.json"
# in front of the last line of a text
CHECKSUM = "# checksum: "


def cached(
    folder: Path, needed: Sequence[str], compute: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Values that are computed once for a folder, and again if their file is damaged.

    Args:
        folder: where they are kept.
        needed: the names of some of them.
        compute: computes all.
    """
    file = folder / VALUES
    found = stored(file)
    if (
        isinstance(found, dict)
        and {*needed} <= {*found}
        and all(type(value) in (int, float, type(None)) for value in found.values())
    ):
        with suppress(OverflowError):
            return {name: float(as_number(value)) for name, value in found.items()}
    values = compute()
    folder.mkdir(parents=True, exist_ok=True)
    content = {name: finite(value) for name, value in values.items()}
    write_text(file, json.dumps(content, indent=1) + "\n")
    return values


def stored(file: Path) -> Any:
    """The content of a JSON file that can be made again; None if it is damaged, or not there."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def with_checksum(file: Path, text: str) -> None:
    """Write a text, with its checksum in a last line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, f"{text}{CHECKSUM}{hash_of(text)}\n")


def without_checksum(file: Path) -> str | None:
    """A text that ends with its checksum; None if it has another one, or is not there."""
    try:
        text, mark, checksum = file.read_text(encoding="utf-8").rpartition(CHECKSUM)
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if mark and checksum.strip() == hash_of(text) else None
