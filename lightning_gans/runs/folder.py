"""The checkpoints in a run's folder. Imports nothing heavy."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

from lightning_gans.errors import UserError

# the folder of a run that holds its checkpoints
FOLDER = "checkpoints"
# the folder of a run that holds its pictures
PICTURES = "images"


_NAME = re.compile(r"[a-z]+-step=[0-9]{1,18}\.ckpt")


class CheckpointMissing(UserError, FileNotFoundError):
    """No checkpoint was found at a path."""


def find(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest in a run's folder.

    Raises:
        CheckpointMissing: if there is none.
    """
    if path.is_file():
        return path
    if path.is_dir():
        checkpoint = newest(path) or newest(path.parent)
        if checkpoint:
            return checkpoint
        failed = next(iter((path / FOLDER).glob("failed-step=*.ckpt")), None)
        hint = f"; the run failed and left {failed}" if failed else ""
        raise CheckpointMissing(f"no checkpoint in the run's folder {path}{hint}")
    raise CheckpointMissing(f"no checkpoint at {path}: the file or folder does not exist")


def newest(run: Path, kind: str = "last") -> Path | None:
    """The intact checkpoint of a kind with the most iterations in a run's folder; None if none.

    A warning names each damaged file, and the one before it is used.
    """
    # other names are not a run's, and a pipe would block whoever opens it
    paths = [
        path
        for path in (run / FOLDER).glob(f"{kind}-step=*.ckpt")
        if _NAME.fullmatch(path.name) and path.is_file()
    ]
    for path in sorted(paths, key=step_of, reverse=True):
        reason = damage(path)
        if reason is None:
            return path
        warnings.warn(
            f"{path} is damaged ({reason}); the checkpoint before it is used", stacklevel=2
        )
    return None


def step_of(path: Path) -> int:
    """The number of iterations in a checkpoint's name."""
    return int(path.stem.rpartition("=")[2])


def damage(path: Path) -> str | None:
    """Why a checkpoint file is damaged, by its own checksums; None if it is intact."""
    try:
        with zipfile.ZipFile(path) as file:
            # torch does not compress; a compressed part could expand to any size
            if any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist()):
                return "it has compressed parts"
            part = file.testzip()
    # a damaged file can raise anything
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None if part is None else f"the checksum of {part} is wrong"
