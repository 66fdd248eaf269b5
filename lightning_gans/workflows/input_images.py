"""Images that people give to a trained model, prepared as those that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.data.reading import read
from lightning_gans.errors import UsageError, UserError
from lightning_gans.models import Decodes, Encodes, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.folder_images import PreparedImages, check_square, list_images
from lightning_gans.paths import is_file, near_miss, typed_path
from lightning_gans.text import name_part
from lightning_gans.workflows.app import preparation
from lightning_gans.workflows.image_folder import image_folder
from lightning_gans.workflows.seeds import with_article

# how many letters of a file's name are in the names of its results
LETTERS = 40


@dataclass(frozen=True)
class InputImages:
    """Image files, which are read when they are asked for.

    Attributes:
        names: of the files, as they were typed or relative to their folder.
        prepared: the files as the model's input.
        root: the folder that was named; None for a single file.
    """

    names: Sequence[str]
    prepared: PreparedImages
    root: Path | None = None

    @property
    def source(self) -> str:
        """What the folder of results is called after."""
        return self.root.resolve().name if self.root is not None else Path(self.names[0]).stem

    def read(self, index: int) -> tuple[Tensor | None, str]:
        """An image, (1, channels, height, width); or None and why it cannot be read."""
        found = read(self.prepared, [index])
        return (None, found.reasons[index]) if index in found.reasons else (found.x, "")

    def result_name(self, index: int) -> str:
        """What the results of an image are called, without an ending."""
        stem = name_part(Path(self.names[index]).stem)[:LETTERS]
        if self.root is None:
            return stem
        return f"{index:0{max(4, len(str(len(self.names) - 1)))}}_{stem}"


def typed_file(option: str, typed: str, otherwise: str = "") -> Path:
    """The image file that an option names.

    Args:
        option: its name.
        typed: its value.
        otherwise: what else it may be, for messages.

    Raises:
        UsageError: if there is no such file.
    """
    path = typed_path(typed)
    if is_file(path):
        return path
    if not typed.strip():
        raise UsageError(f"{option}= names no file; give {option}=FILE, an image{otherwise}")
    if path.is_dir():
        what = "is a folder"
        advice = "; images=FOLDER takes all images in it" if option == "image" else ""
    else:
        what = "is not a file" if path.exists() else f"does not exist{near_miss(path)}"
        advice = ""
    raise UsageError(
        f"{option}={typed}: {path} {what}; give {option}=FILE, an image{otherwise}{advice}"
    )


def input_files(checkpoint: Path, model: Decodes, files: Sequence[Path]) -> InputImages:
    """Single files, prepared as the images of the run that a checkpoint is from."""
    names = [str(file) for file in files]
    return InputImages(names, prepared(checkpoint, model, names))


def input_folder(checkpoint: Path, model: Decodes, images: str) -> InputImages:
    """All images of a folder, prepared as the images of the run that a checkpoint is from.

    Raises:
        UserError: if there is no such folder, or no image in it.
    """
    root = image_folder(images, "; image=FILE takes a single one")
    names = list_images(root)
    return InputImages(
        names, prepared(checkpoint, model, [str(root / name) for name in names]), root
    )


def prepared(checkpoint: Path, model: Decodes, paths: Sequence[str]) -> PreparedImages:
    """Files, prepared as the images of a run.

    Raises:
        InputError: if the model does not take square images.
    """
    shape = model.image_shape
    check_square(shape)
    crop, padding = preparation(str(checkpoint))
    return PreparedImages(paths, shape[1], 1 if shape[0] == 1 else 3, crop, padding)


def load_reconstructing(checkpoint: Path, ckpt: str, device: torch.device) -> Reconstructs:
    """A trained model that encodes images and decodes their codes.

    Args:
        checkpoint: its file.
        ckpt: how it was named, for messages.
        device: of the model.

    Raises:
        UserError: if it does not do both.
    """
    model = load(checkpoint, device)
    if isinstance(model, Reconstructs):
        return model
    lacks = "decoder" if isinstance(model, Encodes) else "encoder"
    raise UserError(
        f"{ckpt} holds {with_article(type(model).__name__)}, which has no {lacks}; give the "
        "checkpoint of a model that reconstructs images, such as a DLSGAN"
    )
