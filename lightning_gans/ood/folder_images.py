"""Images of any folder, prepared as the images that a model was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, cast

import torch
from torch.utils.data import Dataset

from lightning_gans.data.data_module import DataMissing
from lightning_gans.data.images import SUFFIXES, Crop, ImageFiles, declared_size, find_images
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError

State: TypeAlias = list[int] | None
"""The size and time of a file, by which a changed one is known; None for one that is gone."""


class PreparedImages(Dataset[Batch]):
    """Image files, prepared as the images of other data: cropped or padded, and resized.

    Files are opened when they are asked for, and not before.

    Args:
        paths: the files.
        resolution: height and width of the result.
        channels: 1 (grey) or 3 (RGB).
        crop: which part of an image is kept.
        padding: black pixels on each side of images that are smaller than ``resolution`` by as
            many. Others are not padded.
    """

    def __init__(
        self,
        paths: Sequence[str],
        resolution: int,
        channels: Literal[1, 3],
        crop: Crop,
        padding: int = 0,
    ) -> None:
        files = partial(
            ImageFiles,
            paths,
            torch.zeros(len(paths), dtype=torch.long),
            resolution=resolution,
            channels=channels,
        )
        self.paths, self.padding = paths, padding
        self.unpadded = resolution - 2 * padding
        # a negative margin is padding
        self.files, self.padded = files(crop=crop), files(crop=(-padding,) * 4)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        """The image and a label without meaning.

        Raises:
            UnreadableImage: if it cannot be read, for whatever reason.
        """
        return self.padded[index] if self._is_unpadded(index) else self.files[index]

    def __getitems__(self, indices: Sequence[int]) -> list[Batch]:
        """Several images, decoded at the same time."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(self.__getitem__, indices))

    def _is_unpadded(self, index: int) -> bool:
        if not self.padding:
            return False
        # what is no image is named when it is read
        with suppress(Exception):
            return declared_size(self.paths[index]) == (self.unpadded, self.unpadded)
        return False


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder and its subfolders, after they were scored.

    Attributes:
        names: of all files, relative to the folder, sorted.
        reasons: by name, why a file has no score.
        images: the other files, in the same order.
    """

    names: list[str]
    reasons: Mapping[str, str]
    images: Dataset[Batch]

    @property
    def readable(self) -> list[str]:
        """The names of the images that have a score, in order."""
        return [name for name in self.names if name not in self.reasons]


def list_images(root: Path) -> list[str]:
    """The names of all images of a folder and its subfolders, relative to it, sorted.

    Raises:
        DataMissing: if there is no image in it.
    """
    names = find_images(root)
    if not names:
        raise DataMissing(f"no images ({' '.join(SUFFIXES)}) in {root} or its subfolders")
    return names


def prepared(
    root: Path, names: Sequence[str], shape: tuple[int, ...], description: str
) -> PreparedImages:
    """The images of a folder, prepared as the held-out images are prepared.

    They are cropped as those are, by default to the largest centred square, and resized. If those
    are padded, images of the size before padding are padded too: a digit of MNIST that fills all 32
    pixels would be more anomalous.

    Args:
        root: the folder.
        names: of the images, as :func:`list_images` finds them.
        shape: (channels, height, width) that the model takes.
        description: of the held-out images, by :meth:`lightning_gans.data.DataModule.describe`.
    """
    crop, padding = preparation(description)
    paths = [str(root / name) for name in names]
    return PreparedImages(paths, shape[1], 1 if shape[0] == 1 else 3, crop, padding)


def check_square(shape: tuple[int, ...]) -> None:
    """Raise an InputError unless a model takes square images, grey or RGB."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] not in {1, 3}:
        raise InputError(
            f"images=FOLDER is for models of square images, grey or RGB; this one takes {shape}"
        )


def file_states(root: Path, names: Sequence[str]) -> list[State]:
    """The state of each file."""
    found: list[State] = []
    for name in names:
        try:
            stat = (root / name).stat()
        except OSError:
            found.append(None)
        else:
            found.append([stat.st_size, stat.st_mtime_ns])
    return found


def preparation(description: str) -> tuple[Crop, int]:
    """The crop and the padding of data, from their description."""
    described = json.loads(description)
    crop = (described.get("init_args") or {}).get("crop", "center")
    return cast(Crop, tuple(crop) if isinstance(crop, list) else crop), described.get("padding", 0)
