"""Paths as people type them: ``~`` is a home folder, and any text is a path that may not exist."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

# how many names of a folder are compared with one that is not there
_MOST_NAMES = 10_000
# how similar a name is, from 0 to 1, that may have been meant
_SIMILAR = 0.7


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


def is_folder(path: Path) -> bool:
    """Whether there is a folder; a name that is longer than the system allows is that of none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def near_miss(path: Path, words: Sequence[str] = ()) -> str:
    """`` (did you mean 'x'?)`` if a path that does not exist is nearly one that does, or a word.

    Only one name in the path may be wrong.

    Args:
        path: that does not exist.
        words: that may be typed instead of a path.

    >>> near_miss(Path("lst"), ("last", "best"))
    " (did you mean 'last'?)"
    """
    meant = difflib.get_close_matches(str(path), words, n=1, cutoff=_SIMILAR)
    with suppress(OSError):  # it cannot be read, or a name is too long
        above = next((parent for parent in path.parents if parent.is_dir()), None)
        if above is not None and not meant:
            wrong, *rest = path.relative_to(above).parts
            names = [found.name for found in islice(above.iterdir(), _MOST_NAMES)]
            similar = difflib.get_close_matches(wrong, names, n=3, cutoff=_SIMILAR)
            paths = [above.joinpath(name, *rest) for name in similar]
            meant = [str(found) for found in paths if found.exists()]
    return f" (did you mean '{meant[0]}'?)" if meant else ""


def no_folder(root: Path) -> str:
    """What is said of a folder of images that does not exist."""
    return (
        f"no folder {root.resolve()}{near_miss(root)}; put the images there, or set data.root to "
        "their folder"
    )
