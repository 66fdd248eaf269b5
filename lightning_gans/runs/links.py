"""A check for symbolic links in a run's folder. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_gans.errors import UserError


class LinkLeadsOut(UserError, ValueError):
    """A link in a run's folder leads to a file outside of it."""


def check_links(folder: Path) -> None:
    """Check that no link in a run's folder leads out of it, before anything is written there.

    Raises:
        LinkLeadsOut: with the first link that does.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise LinkLeadsOut(
                    f"{path} is a link that leads out of the run's folder, and a resumed run would "
                    "write there; replace the link with the file itself"
                )
