"""The folder of images that ``images=`` names."""

from __future__ import annotations

from pathlib import Path

from lightning_gans.errors import UsageError
from lightning_gans.paths import near_miss, typed_path
from lightning_gans.runs.folder import ROOT


def image_folder(images: str, otherwise: str = "") -> Path:
    """The folder that ``images=`` names.

    Args:
        images: as it was typed.
        otherwise: what takes a single file, for messages.

    Raises:
        UsageError: if it names none, or there is no such folder.
    """
    if not images.strip():
        raise UsageError("images= names no folder; give images=FOLDER, where your images are")
    root = typed_path(images)
    if not root.is_dir():
        if root.is_file():
            raise UsageError(
                f"images={images}: {root} is a file; give images=FOLDER, one that has this image "
                f"alone, or {root.parent} with all images in it{otherwise}"
            )
        what = "is not a folder" if root.exists() else f"does not exist{near_miss(root)}"
        raise UsageError(
            f"images={images}: {root} {what}; give images=FOLDER, where your images are"
        )
    return root


def check_apart(root: Path | None, out: str | None) -> None:
    """Refuse results in the folder of the images: the next call would take their pictures for some.

    Args:
        root: the folder of the images, if they are in one.
        out: the folder for the results, as it was typed; None for one in runs.

    Raises:
        UsageError: if the results would be in ``root``.
    """
    place = Path(ROOT) if out is None else typed_path(out)
    if root is not None and place.resolve().is_relative_to(root.resolve()):
        advice = "give out=FOLDER" if out is None else "choose another out=FOLDER"
        raise UsageError(
            f"the results would be in {place}, and their pictures among the images of {root}; "
            f"{advice}, outside of that"
        )
