"""Pictures that runs have drawn themselves, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from lightning_gans.errors import InputError
from lightning_gans.runs.folder import PICTURES
from lightning_gans.runs.report import newest_pictures

GAP = 8  # pixels between pictures


def own_pictures(runs: Mapping[str, Sequence[Path]], path: Path, kind: str = "samples") -> None:
    """The last pictures of a kind that the first runs have drawn, one below the other.

    Args:
        runs: of each training, in the order of the pictures.
        path: the PNG file.
        kind: samples, reconstructions or traversals.

    Raises:
        InputError: if a run has no such picture.
    """
    found = []
    for name, folders in runs.items():
        drawn = newest_pictures(folders[0] / PICTURES)
        files = [file for file in drawn if file.name.startswith(f"{kind}-step=")]
        if not files:
            raise InputError(f"{folders[0]}, the run of {name}, has drawn no {kind}")
        with Image.open(files[-1]) as opened:
            found.append(opened.convert("RGB"))
    width = max(image.width for image in found)
    height = sum(image.height + GAP for image in found) - GAP
    sheet = Image.new("RGB", (width, height), "white")
    top = 0
    for image in found:
        sheet.paste(image, (0, top))
        top += image.height + GAP
    sheet.save(path, format="png")
