"""A run's folder: its checkpoints, and those it can resume from. Imports nothing heavy."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

from lightning_gans.errors import UserError

# of a run, the folder that holds its checkpoints
FOLDER = "checkpoints"
# and the one that holds its pictures
PICTURES = "images"


class CheckpointMissing(UserError, FileNotFoundError):
    """There is no checkpoint where one should be."""


def find(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest in a run's folder.

    Raises:
        CheckpointMissing: if there is none.
    """
    if path.is_file():
        return path
    if path.is_dir():
        found = newest(path) or newest(path.parent)
        if found:
            return found
        failed = next(iter((path / FOLDER).glob("failed-step=*.ckpt")), None)
        hint = f"; it failed, and left {failed}" if failed else ""
        raise CheckpointMissing(f"no checkpoint in the run's folder {path}{hint}")
    raise CheckpointMissing(f"no checkpoint at {path}: there is no such file or folder")


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
