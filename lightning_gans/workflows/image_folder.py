"""The folder of images that ``images=`` names."""

from __future__ import annotations

from pathlib import Path

from lightning_gans.errors import UsageError
from lightning_gans.paths import typed_path


def image_folder(images: str) -> Path:
    """The folder that ``images=`` names.

    Raises:
        UsageError: if it names none, or there is no such folder.
    """
    if not images.strip():
        raise UsageError("images= names no folder; give images=FOLDER, where your images are")
    root = typed_path(images)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(
            f"images={images}: {root} {what}; give images=FOLDER, where your images are"
        )
    return root
