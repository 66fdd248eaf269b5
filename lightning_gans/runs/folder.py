"""The checkpoints in a run's folder. Imports nothing heavy."""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from pathlib import Path

from lightning_gans.errors import UserError
from lightning_gans.paths import near_miss

# the folder of all runs
ROOT = "runs"
# the folder of a run that holds its checkpoints
FOLDER = "checkpoints"
# the file of a run with all that was logged
METRICS = "metrics.csv"
# what a checkpoint is of, in alphabetical order
KINDS = ("best", "failed", "last")
# the folder of a run that holds its pictures
PICTURES = "images"
# the two files of an exported folder that make the model again
EXPORTED_WEIGHTS, EXPORTED_CONFIG = "model.safetensors", "config.json"
# the ending of the file with the OOD scores of held-out images, which lies beside its checkpoint
CALIBRATION = ".ood.safetensors"

# the endings of the other files in a run's folder
_NO_CHECKPOINT = (".yaml", ".csv", ".json", ".md", ".png", ".html")
# how many times the checkpoints are listed anew, because a run that still trains removed one
_LISTINGS = 5
# what a run names its checkpoints; any other name in that folder is not a run's
_CHECKPOINT = re.compile(rf"({'|'.join(KINDS)})-step=(?:0|[1-9][0-9]{{0,17}})\.ckpt")


class CheckpointMissing(UserError, FileNotFoundError):
    """No checkpoint was found at a path."""


def is_checkpoint_name(name: object) -> bool:
    """Whether a name is a file name that a run gives its checkpoints, without a folder."""
    return isinstance(name, str) and _CHECKPOINT.fullmatch(name) is not None


def find(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest in a run's folder.

    Of an exported folder it is the file of weights, ``model.safetensors``.

    Raises:
        CheckpointMissing: if there is none, with what was looked for.
    """
    if path.is_file() and path.suffix in _NO_CHECKPOINT:
        raise CheckpointMissing(
            f"{path} is no checkpoint; give the run's folder, {path.parent}, or a .ckpt file"
        )
    if path.is_file():
        # typed in the folder of checkpoints, a name does not hold the run's folder
        return path.parent.resolve() / path.name if path.parent.name in ("", "..") else path
    if not path.is_dir():
        if path.exists():
            raise CheckpointMissing(f"no checkpoint at {path}: it is neither a file nor a folder")
        hint = near_miss(path, ("last", "best"))
        raise CheckpointMissing(f"no checkpoint at {path}: it does not exist{hint}")
    if is_exported(path):
        return path / EXPORTED_WEIGHTS
    run = path.parent if path.name == FOLDER else path
    if path.resolve().name == FOLDER and path.name != FOLDER:
        run = path.resolve().parent  # as for "."
    checkpoint = newest(run)
    if checkpoint is None:
        raise CheckpointMissing(f"no checkpoint in {path}: {_found_instead(run)}")
    return checkpoint


def is_exported(folder: Path) -> bool:
    """Whether a folder is one that ``export`` wrote."""
    return all((folder / name).is_file() for name in (EXPORTED_WEIGHTS, EXPORTED_CONFIG))


def _found_instead(run: Path) -> str:
    """What a folder without an intact last checkpoint holds, for a message."""
    if paths := checkpoints(run, "last"):
        return f"all of its checkpoints are damaged: {', '.join(p.name for p in paths)}"
    if failed := checkpoints(run, "failed"):
        return f"the run failed and left {failed[-1]}"
    if best := checkpoints(run, "best"):
        return f"there is no {FOLDER}/last-step=N.ckpt; give {best[-1]} itself"
    below = (found for depth in ("*", "*/*", "*/*/*") for found in run.glob(f"{depth}/{FOLDER}"))
    with suppress(OSError):
        if inner := next((b.parent for b in below if checkpoints(b.parent, "last")), None):
            return f"it is no run's folder; those of runs are in it, such as {inner}"
    return f"looked for {run / FOLDER}/last-step=N.ckpt"


def checkpoints(run: Path, kind: str | None = None) -> list[Path]:
    """The checkpoints in a run's folder, by their iterations; other files are not a run's.

    Args:
        run: the folder.
        kind: one of last, best and failed; None for all.
    """
    found = []
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in (run / FOLDER).iterdir():
            match = _CHECKPOINT.fullmatch(path.name)
            # a pipe would block whoever opens it
            if match and kind in (None, match[1]) and path.is_file():
                found.append(path)
    return sorted(found, key=lambda path: (step_of(path), path.name))


def newest(run: Path, kind: str = "last") -> Path | None:
    """The intact checkpoint of a kind with the most iterations in a run's folder; None if none.

    A warning names each damaged file, and the one before it is used.
    """
    damaged: dict[Path, str] = {}
    for _ in range(_LISTINGS):
        removed = False
        for path in reversed(checkpoints(run, kind)):
            if path in damaged:
                continue
            reason = damage(path)
            if reason is None:
                return path
            removed |= not path.exists()
            if path.exists():
                damaged[path] = reason
                warnings.warn(
                    f"{path} is damaged ({reason}); the checkpoint before it is used",
                    stacklevel=2,
                )
        if not removed:
            break
    return None


def calibration_file(checkpoint: Path) -> Path:
    """Where the OOD scores of held-out images are stored: next to a checkpoint, under its name."""
    name = checkpoint.name.removesuffix(".ckpt").removesuffix(".safetensors")
    return checkpoint.with_name(name + CALIBRATION)


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint and the file that belongs to it alone; what cannot be deleted stays."""
    # a kill in between leaves no file without its checkpoint
    for path in (calibration_file(checkpoint), checkpoint):
        with suppress(OSError):
            path.unlink()


def step_of(path: Path) -> int:
    """The number of iterations in a checkpoint's name."""
    return int(path.stem.rpartition("=")[2])


def damage(path: Path) -> str | None:
    """Why a checkpoint file is damaged, by its own checksums; None if it is intact."""
    import zipfile  # noqa: PLC0415  (not at the start of each command)

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
