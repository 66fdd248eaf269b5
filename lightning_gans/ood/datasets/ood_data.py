"""Data with sets of images that are out of distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from torch.utils.data import Dataset

from lightning_gans.data import DataModule
from lightning_gans.data.tensors import Batch

Source: TypeAlias = Literal["files", "made"]
"""Whether the images of a set are read from files, or made by this package."""


class OODData(DataModule, ABC):
    """Training images, ID images that are not among them, and sets of OOD images.

    The ID images are the validation set. ``setup`` opens all three, but the training images only
    for the stage "fit" or None.

    Attributes:
        sets: OOD sets by name, in the order of the thesis's tables; known after ``setup``. Image i
            of a set is paired with ID image i.
        missing: by name, why a set is not there, in one line.
        sources: by name, where the images of a set are from, if that is known.
        kinds: by name, "near", "far" or "ood" for sets that are taken as they are. All others are
            far, and near once they are mixed with ID images.
    """

    sets: Mapping[str, Dataset[Batch]]
    missing: Mapping[str, str]
    sources: Mapping[str, Source] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({})

    @property
    def inside(self) -> DataModule:
        """The data whose validation images are the ID images; these data unless they have such."""
        return self

    def called(self, name: str, index: int) -> str:
        """What an image of a set is called where it cannot be read."""
        return f"image {index} of {name}"

    @property
    @abstractmethod
    def near(self) -> float:
        """The share of the OOD image in images of the near sets of the thesis."""
