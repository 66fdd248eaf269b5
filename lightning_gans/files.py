"""Opening files that people name: a pipe or a device, which could block for ever, is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lightning_gans.errors import UserError

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class NotRegularFile(UserError, OSError):
    """A pipe, socket, device or folder where a file with content is needed."""


@contextmanager
def open_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes; it never waits for another program to write.

    Raises:
        NotRegularFile: if it is a pipe, socket, device or folder.
        OSError: if it cannot be opened.
    """
    # looked at before it is opened, because opening alone rewinds some devices
    check_regular(path, Path(path).stat())
    # and again afterwards, because another file may be there by now: a pipe opens without waiting
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        check_regular(path, os.fstat(file.fileno()))
        yield file


def check_regular(path: str | Path, found: os.stat_result | None = None) -> None:
    """Refuse what is not a regular file, or a link to one.

    Args:
        path: of the file.
        found: its status, if known.

    Raises:
        NotRegularFile: if it is a pipe, socket, device or folder.
        OSError: if there is nothing, or it cannot be looked at.
    """
    mode = (Path(path).stat() if found is None else found).st_mode
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise NotRegularFile(f"{path} is {kind}, expected a file")
