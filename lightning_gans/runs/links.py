"""Links in a folder that is written to. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from lightning_gans.errors import UserError


class LinkLeadsOut(UserError, ValueError):
    """Writing into a folder would change files elsewhere."""


def check_links(folder: Path) -> None:
    """Refuse a run's folder with links that lead out of it, before anything is written there.

    Raises:
        LinkLeadsOut: naming the first.
    """
    inside = folder.resolve()
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise LinkLeadsOut(
                    f"{path} is a link that leads out of the run's folder, and going on with the "
                    "run would write there; put the file itself in its place"
                )
