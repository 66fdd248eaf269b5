"""Files that are replaced as a whole: their readers see the old content or the new one.

Imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_gans.errors import UserError
from lightning_gans.runs.folder import FOLDER, PICTURES

# appended to the name of a file until it is complete
PART = ".part"

# what to do about an error, by its number
ADVICE = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space: the quota is used up",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "change the permissions of the folder",
    errno.EPERM: "change the permissions of the folder",
    errno.EROFS: "that disk can only be read",
    errno.EIO: "that disk may be failing",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}

# the files of a run's folder that are written this way, by the folder within
_LEFTOVERS = {
    "": (
        r"(metrics\.csv|config\.yaml|report\.(md|html)|curves\.png"
        r"|predictions(-[0-9]+)?\.safetensors)"
    ),
    PICTURES: r"[a-z_]+-step=[0-9]{1,18}\.png",
    FOLDER: r"(last|best|failed)-step=[0-9]{1,18}(\.ckpt)?",
}


class Unwritable(UserError, OSError):
    """A file that could not be written: which one, why, and what to do."""

    def __init__(self, path: Path, error: BaseException) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        reason = " ".join(reason.split()) or type(error).__name__
        advice = ADVICE.get(getattr(error, "errno", None) or 0)
        super().__init__(
            f"{path} could not be written: {reason:.200}{f'; {advice}' if advice else ''}"
        )
        self.path = path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new path beside ``path``, and move it there when the block has written it.

    The content is on the disk before it gets its name, so that neither a kill nor a power failure
    leaves half a file, and another name of the old file keeps the old content. If the block raises,
    nothing is left and ``path`` is as it was. Folders are made as needed.

    Args:
        path: of the file, which may exist.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    temporary = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a left-over may be a link to a file elsewhere
        temporary.unlink(missing_ok=True)
        yield temporary
        _sync(temporary)
        if path.is_dir() and not path.is_symlink():
            set_aside(path, "expected a file, found a folder")
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, UserError):
            raise Unwritable(path, error) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, as a whole or not at all.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode())


def set_aside(path: Path, reason: str) -> Path:
    """Rename a file or folder to a name that is free, and say so in a warning.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "metrics.csv"
    >>> _ = file.write_bytes(b"?")
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


def remove_leftovers(run: Path) -> None:
    """Remove the incomplete files that a killed process left in a run's folder, and no others."""
    for folder, name in _LEFTOVERS.items():
        for path in (run / folder).glob(f"*{PART}"):
            if re.fullmatch(name, path.name.removesuffix(PART)) and not path.is_dir():
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, where the file system can tell."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
