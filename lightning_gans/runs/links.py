"""A check for links and special files in a run's folder. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_gans.errors import UserError
from lightning_gans.runs.folder import FOLDER, PICTURES

# in a run's folder, where wandb keeps a folder for each time the run was started
WANDB = "wandb"


class LinkLeadsOut(UserError, ValueError):
    """A link in a run's folder leads to a file outside of it."""


class NotAFile(UserError, ValueError):
    """Something in a run's folder is neither a file nor a folder."""


def check_links(folder: Path) -> None:
    """Check that a run's folder holds files and folders of its own, before anything is written.

    Raises:
        LinkLeadsOut: with the first link that leads out of the folder.
        NotAFile: for a device, or a pipe, which blocks whoever opens it.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            # unlike Path.resolve, realpath also takes a link to itself
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                raise LinkLeadsOut(
                    f"{path} is a link that leads out of the run's folder, and a resumed run would "
                    "write there; replace the link with the file itself"
                )
            # wandb's links to the newest of its logs may lead to one that was not written yet
            dangling = path.is_symlink() and Path(parent) == folder / WANDB
            gone = not os.path.lexists(path)
            # a run opens only files there, and replaces what has a name of its own
            replaced = Path(parent) in (folder / FOLDER, folder / PICTURES)
            if not (path.is_file() or path.is_dir() or dangling or gone or replaced):
                raise NotAFile(f"{path} is neither a file nor a folder; remove it")
        if Path(parent) == folder / WANDB:
            # wandb links to logs in its cache, from folders that a resumed run does not write to
            folders.clear()
