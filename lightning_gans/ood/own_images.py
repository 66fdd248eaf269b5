"""Any folder of images as a model takes them, and what could not be read."""

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
from lightning_gans.data.images import SUFFIXES, Crop, ImageFiles, find_images, kept
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError

# data whose images of SMALL pixels are given black pixels on each side, not resized
FRAMED = ("MNIST", "FashionMNIST", "KMNIST", "MNIST5k", "MNISTOOD")
SMALL = (28, 28)
FRAME: Crop = (-2, -2, -2, -2)


class Treated(Dataset[Batch]):
    """Image files, each cropped in a way of its own.

    Args:
        paths: the files.
        crops: what is kept of each; pixels that are not there are black.
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
        self.ways = {crop: files(crop=crop) for crop in set(crops)}

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Batch:
        return self.ways[self.crops[index]][index]


@dataclass(frozen=True)
class OwnImages:
    """The images of a folder and the folders in it.

    Attributes:
        names: of all files, relative to the folder, sorted.
        reasons: by name, why a file cannot be scored.
        images: the others, in the same order.
    """

    names: list[str]
    reasons: Mapping[str, str]
    images: Dataset[Batch]

    @property
    def readable(self) -> list[str]:
        """The names of the images that can be scored, in order."""
        return [name for name in self.names if name not in self.reasons]


def list_images(root: Path) -> list[str]:
    """The names of all images of a folder and the folders in it, relative to it, sorted.

    Raises:
        DataMissing: if there is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise DataMissing(f"there is no folder {root}; give images=FOLDER, where your images are")
    names = find_images(root)
    if not names:
        raise DataMissing(f"no images ({' '.join(SUFFIXES)}) in {root} or the folders in it")
    return names


def own_images(root: Path, names: list[str], shape: tuple[int, ...], data: str) -> OwnImages:
    """See which images can be read, and treat them as the held-out images are.

    They are cropped as those are, by default to the largest centred square, and resized. Images of
    28×28 pixels, for models of MNIST or its siblings, are framed with black as those are: a digit
    that fills 32 pixels is stranger.

    Args:
        root: the folder.
        names: of the images, as :func:`list_images` finds them.
        shape: (channels, height, width) that the model takes.
        data: of the held-out images, as an ``Origin`` has them.

    Raises:
        InputError: if the model takes no square images.
    """
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] not in {1, 3}:
        raise InputError(
            f"images=FOLDER is for models of square images, grey or RGB; this one takes {shape}"
        )
    usual, framed = crop_of(data), json.loads(data)["class_path"].rpartition(".")[2] in FRAMED
    reasons: dict[str, str] = {}
    crops: list[Crop] = []
    for name, found in zip(names, check_readable(root, names), strict=True):
        if isinstance(found, str):
            reasons[name] = found
            continue
        crop = FRAME if framed and found == SMALL else usual
        try:
            kept(found, crop)
        except ValueError as error:
            reasons[name] = str(error)
        else:
            crops.append(crop)
    paths = [str(root / name) for name in names if name not in reasons]
    return OwnImages(names, reasons, Treated(paths, crops, shape[1], 1 if shape[0] == 1 else 3))


def crop_of(data: str) -> Crop:
    """What held-out images keep, of the data they are from, as an ``Origin`` has them."""
    crop = (json.loads(data).get("init_args") or {}).get("crop", "center")
    return cast(Crop, tuple(crop) if isinstance(crop, list) else crop)
