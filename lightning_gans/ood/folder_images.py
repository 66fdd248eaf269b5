"""Images of any folder, prepared as the images that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from torch.utils.data import Dataset

from lightning_gans.data.check_readable import check_readable
from lightning_gans.data.data_module import DataMissing
from lightning_gans.data.images import SUFFIXES, Crop, ImageFiles, crop_box, find_images
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError


class CroppedImages(Dataset[Batch]):
    """Image files, each with its own crop.

    Args:
        paths: the files.
        crops: which part of each is kept; pixels outside the image are black.
        resolution: height and width of the result.
        channels: 1 (grey) or 3 (RGB).
    """

    def __init__(
        self,
        paths: Sequence[str],
        crops: Sequence[Crop],
        resolution: int,
        channels: Literal[1, 3],
    ) -> None:
        files = partial(
            ImageFiles,
            paths,
            torch.zeros(len(paths), dtype=torch.long),
            resolution=resolution,
            channels=channels,
        )
        self.crops = crops
        self.by_crop = {crop: files(crop=crop) for crop in set(crops)}

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Batch:
        return self.by_crop[self.crops[index]][index]


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder and its subfolders.

    Attributes:
        names: of all files, relative to the folder, sorted.
        reasons: by name, why a file cannot be scored.
        images: the other files, in the same order.
    """

    names: list[str]
    reasons: Mapping[str, str]
    images: Dataset[Batch]

    @property
    def readable(self) -> list[str]:
        """The names of the images that can be scored, in order."""
        return [name for name in self.names if name not in self.reasons]


def list_images(root: Path) -> list[str]:
    """The names of all images of a folder and its subfolders, relative to it, sorted.

    Raises:
        DataMissing: if there is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise DataMissing(f"there is no folder {root}; give images=FOLDER, where your images are")
    names = find_images(root)
    if not names:
        raise DataMissing(f"no images ({' '.join(SUFFIXES)}) in {root} or its subfolders")
    return names


def folder_images(
    root: Path, names: list[str], shape: tuple[int, ...], description: str
) -> FolderImages:
    """Check which images can be read, and prepare them as the held-out images are prepared.

    They are cropped as those are, by default to the largest centred square, and resized. If those
    are padded, images of the size before padding are padded too: a digit of MNIST that fills all 32
    pixels would be more anomalous.

    Args:
        root: the folder.
        names: of the images, as :func:`list_images` finds them.
        shape: (channels, height, width) that the model takes.
        description: of the held-out images, by :meth:`lightning_gans.data.DataModule.describe`.

    Raises:
        InputError: if the model takes no square images.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] not in {1, 3}:
        raise InputError(
            f"images=FOLDER is for models of square images, grey or RGB; this one takes {shape}"
        )
    default_crop, padding = preparation(description)
    unpadded = shape[1] - 2 * padding
    reasons: dict[str, str] = {}
    crops: list[Crop] = []
    for name, found in zip(names, check_readable(root, names), strict=True):
        if isinstance(found, str):
            reasons[name] = found
            continue
        is_unpadded = padding > 0 and found == (unpadded, unpadded)
        # a negative margin is padding
        crop: Crop = (-padding,) * 4 if is_unpadded else default_crop
        try:
            crop_box(found, crop)
        except ValueError as error:
            reasons[name] = str(error)
        else:
            crops.append(crop)
    paths = [str(root / name) for name in names if name not in reasons]
    images = CroppedImages(paths, crops, shape[1], 1 if shape[0] == 1 else 3)
    return FolderImages(names, reasons, images)


def preparation(description: str) -> tuple[Crop, int]:
    """The crop and the padding of data, from their description."""
    described = json.loads(description)
    crop = (described.get("init_args") or {}).get("crop", "center")
    return cast(Crop, tuple(crop) if isinstance(crop, list) else crop), described.get("padding", 0)
