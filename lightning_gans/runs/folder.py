"""Where a run keeps its checkpoints, and which can be gone on from. Imports nothing heavy."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

# of a run, the folder that holds its checkpoints
FOLDER = "checkpoints"


def newest(run: Path, kind: str = "last") -> Path | None:
    """The checkpoint of a kind in a run's folder with the most iterations, if there is a whole one.

    A file that is not whole is named in a warning, and the one before it is taken.
    """
    found = sorted((run / FOLDER).glob(f"{kind}-step=*.ckpt"), key=step_of, reverse=True)
    for path in found:
        wrong = damage(path)
        if wrong is None:
            return path
        warnings.warn(
            f"{path} is damaged ({wrong}); the checkpoint before it is taken", stacklevel=2
        )
    return None


def step_of(path: Path) -> int:
    """The iterations a checkpoint's name tells."""
    return int(path.stem.rpartition("=")[2])


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint's file, by its own checksums; None if it is whole."""
    try:
        with zipfile.ZipFile(path) as file:
            # torch stores; what is compressed may unfold to any size
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                return "it has compressed parts"
            part = file.testzip()
    # whatever a damaged file makes the reader stumble over
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None if part is None else f"the checksum of {part} is wrong"
