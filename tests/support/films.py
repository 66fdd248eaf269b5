"""The frames of animations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageSequence


def frames_of(path: Path) -> list[npt.NDArray[np.uint8]]:
    """The frames of a GIF in RGB, (height, width, 3)."""
    with Image.open(path) as film:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]


def information(path: Path) -> tuple[int | None, int | None]:
    """How often a GIF repeats, 0 for ever, and milliseconds a frame."""
    with Image.open(path) as film:
        return film.info.get("loop"), film.info.get("duration")
