"""Folders of images as OOD sets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch.utils.data import Dataset, Subset

from lightning_gans.data import DataModule
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import UsageError
from lightning_gans.ood.datasets.ood_data import OODData, Source
from lightning_gans.ood.folder_images import list_images, prepared
from lightning_gans.paths import typed_path
from lightning_gans.rng import stream

# the kinds that a name may begin with, and that of the others
NEAR_FAR, OTHER = ("near", "far"), "ood"

_NAME = re.compile(r"[\w+-][\w .+-]{0,63}")
# names that tables have for something else
_TAKEN = ("id", "mean", "near", "far", "ood", "nearood", "farood")


class NamedFolder(NamedTuple):
    """A folder of OOD images.

    Attributes:
        kind: "near", "far", or "ood" where that is not said.
        name: of the set.
        root: the folder.
    """

    kind: str
    name: str
    root: Path


def parse_folders(typed: Sequence[str]) -> list[NamedFolder]:
    """The folders that ``NAME:FOLDER,NAME:FOLDER`` names; a name may begin with near/ or far/.

    >>> [folder.name for folder in parse_folders(["near/a:x,b:y", "far/c:z"])]
    ['a', 'b', 'c']

    Raises:
        UsageError: for a text of another form, and for a name that is given twice.
    """
    pieces: list[str] = []
    for text in typed:
        for piece in text.split(","):
            if ":" in piece or not pieces:
                pieces.append(piece)
            else:
                pieces[-1] += f",{piece}"  # a comma in the name of a folder
    found: list[NamedFolder] = []
    for piece in pieces:
        name, colon, folder = (part.strip() for part in piece.partition(":"))
        kind, slash, rest = name.partition("/")
        if slash and kind in NEAR_FAR:
            name = rest
        else:
            kind = OTHER
        if not colon or not folder or not _NAME.fullmatch(name) or name.lower() in _TAKEN:
            raise UsageError(
                f"ood.sets={piece}: expected NAME:FOLDER, where a name has letters and digits and "
                "may begin with near/ or far/, as in ood.sets=near/cats:CATS,far/noise:NOISE"
            )
        if name in [other.name for other in found]:
            raise UsageError(f"ood.sets: the name {name} is given twice; names are unique")
        found.append(NamedFolder(kind, name, typed_path(folder)))
    return found


class FolderSets(OODData):
    """Folders of images as OOD sets, beside the ID images of other data.

    Their images are prepared as the ID images are, and in a random order that is always the same:
    the names of files often sort them by class.

    Args:
        data: whose validation images are ID; its own OOD sets, if it has some, are kept.
        folders: the OOD sets.

    Raises:
        DataMissing: if there is no image in a folder.
        UsageError: if ``data`` has a set of the same name.
    """

    def __init__(self, data: DataModule, folders: Sequence[NamedFolder]) -> None:
        super().__init__(data.batch_size, data.workers)
        self.data, self.folders = data, folders
        self.name, self.padding, self.crop = data.name, data.padding, data.crop
        self.has_digits = data.has_digits
        self.files = {folder.name: list_images(folder.root) for folder in folders}
        self.kinds = {folder.name: folder.kind for folder in folders}
        self.orders: dict[str, list[int]] = {
            name: torch.randperm(len(found), generator=stream(f"order of {name}", 0)).tolist()
            for name, found in self.files.items()
        }

    @property
    def near(self) -> float:
        """That of the data; the images of folders are not mixed."""
        return self.data.near if isinstance(self.data, OODData) else 0.0

    @property
    def inside(self) -> DataModule:
        """Those of the data."""
        return self.data.inside if isinstance(self.data, OODData) else self.data

    @property
    def image_shape(self) -> tuple[int, ...]:
        """That of the data."""
        return self.data.image_shape

    @property
    def classes(self) -> tuple[int, ...]:
        """Those of the data."""
        return self.data.classes

    def replace(self, **changes: Any) -> Self:
        """The same folders beside other data."""
        return type(self)(self.data.replace(**changes), self.folders)

    def describe(self) -> str:
        """The data, and the folders with a hash of the names of their files."""
        found = {}
        for folder in self.folders:
            names = json.dumps(self.files[folder.name])
            found[folder.name] = [folder.kind, hashlib.sha256(names.encode()).hexdigest()]
        return json.dumps({"data": self.data.describe(), "sets": found}, sort_keys=True)

    def called(self, name: str, index: int) -> str:
        """The file of an image, where it is one of a folder."""
        if name not in self.files:
            return super().called(name, index)
        (root,) = [folder.root for folder in self.folders if folder.name == name]
        return str(root / self.files[name][self.orders[name][index]])

    def prepare_data(self) -> None:
        """Prepare the data."""
        self.data.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """Open the ID images, and list the others; those are read when they are scored.

        Raises:
            DataMissing: if the ID images are missing.
            UsageError: if the data have a set of the same name as a folder.
        """
        self.data.setup(stage)
        self.validation_set = self.data.validation_set
        if hasattr(self.data, "train_set"):
            self.train_set = self.data.train_set
        own: Mapping[str, Dataset[Batch]] = {}
        sources: dict[str, Source] = dict.fromkeys(self.files, "files")
        self.missing = {}
        if isinstance(self.data, OODData):
            own, self.missing = self.data.sets, self.data.missing
            sources = {**self.data.sources, **sources}
        sets = dict(own)
        for folder in self.folders:
            if folder.name in own:
                raise UsageError(
                    f"ood.sets: {self.data.name} has a set {folder.name} of its own; give the "
                    "folder another name"
                )
            names = self.files[folder.name]
            images = prepared(folder.root, names, self.image_shape, self.data.describe())
            sets[folder.name] = Subset(images, self.orders[folder.name])
        self.sets, self.sources = sets, sources
