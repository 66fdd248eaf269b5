"""Paths as people type them: ``~`` is a home folder, and any text is a path that may not exist."""

from __future__ import annotations

from pathlib import Path


def typed_path(path: str | Path) -> Path:
    """A path with ``~`` replaced by the home folder; ``~name`` of nobody is a name like any other.

    >>> typed_path("~nobody of this name/a.yaml").as_posix()
    '~nobody of this name/a.yaml'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # there is no such user, or no home
        return Path(path)


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that is longer than the system allows is that of none."""
    try:
        return path.is_file()
    except OSError:
        return False
