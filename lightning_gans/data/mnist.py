"""MNIST, FashionMNIST and KMNIST, read from their publishers' files."""

from __future__ import annotations

import gzip
import math
import tempfile
from abc import ABC
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from lightning_gans.data.data_module import DataMissing, DataModule
from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import InputError, reason
from lightning_gans.paths import typed_path
from lightning_gans.ranges import (
    BatchSize,
    NonNegativeFloat,
    NonNegativeInt,
    Padding,
    Workers,
    checked,
)

_PARTS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "validation": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# of an unpacked file; the largest has 47,040,016
_MAX_BYTES = 200_000_000

FOLDS = 7
"""Each fold validates on 10,000 of the 70,000 images, as in the thesis."""


def fold_range(n: int, fold: int) -> range:
    """The indices of a fold, of n images of which the publisher's training images come first."""
    return range(n * fold // FOLDS, n * (fold + 1) // FOLDS)


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name, otherwise its gzipped form."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


class _IdxImages(DataModule, ABC):
    """Grey 28×28 images in idx files, padded with black pixels on each side."""

    source: ClassVar[type[datasets.MNIST]]
    classes = (10,)
    padding = 2
    # padding is described of all data; the others decide what is trained on, and how often
    loading_arguments = DataModule.loading_arguments | {"download", "padding", "pool", "weights"}

    @checked
    def __init__(
        self,
        root: str,
        download: bool = False,
        fold: NonNegativeInt | None = None,
        batch_size: BatchSize = 32,
        workers: Workers = 0,
        *,
        padding: Padding = 2,
        pool: bool = False,
        weights: tuple[NonNegativeFloat, ...] | None = None,
    ) -> None:
        super().__init__(batch_size, workers)
        if pool and fold is not None:
            raise ValueError(f"pool trains on all images, and fold={fold} leaves some out")
        if weights is not None and (
            len(weights) != 10 or not math.isclose(sum(weights), 1, abs_tol=1e-6)
        ):
            raise ValueError(
                f"expected 10 weights, one for each class, with sum 1; got {tuple(weights)}"
            )
        if fold is not None and not 0 <= fold < FOLDS:
            raise ValueError(f"fold must be from 0 to {FOLDS - 1}, or null, got {fold}")
        self.root = typed_path(root)
        self.download = download
        self.fold = fold
        self.padding = padding
        self.pool = pool
        self.weights = weights

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        side = 28 + 2 * self.padding
        return 1, side, side

    def example_weights(self) -> Tensor | None:
        """The probability of each training image, (n,), or None."""
        if self.weights is None:
            return None
        labels = cast(TensorImages, self.train_set).labels
        of_class = torch.tensor(self.weights, dtype=torch.float64)
        each = of_class / torch.bincount(labels, minlength=len(of_class)).clamp(min=1)
        if not each[labels].any():
            raise InputError("weights gives every class of the training images the probability 0")
        return each[labels]

    @property
    def folder(self) -> Path:
        """Where the files are looked for."""
        return self.root / self.source.__name__ / "raw"

    def prepare_data(self) -> None:
        """Download the files if ``download`` is set and any is missing.

        Raises:
            DataMissing: if the download fails.
        """
        names = [name for part in _PARTS.values() for name in part]
        if not self.download or all(_find(self.folder, name) for name in names):
            return
        try:
            self.source(str(self.root), download=True)
        except (OSError, RuntimeError) as error:
            cause = " ".join(str(error).split())
            raise DataMissing(
                f"{self.source.__name__} could not be downloaded to {self.folder.resolve()}: "
                f"{cause}; put its files there yourself"
            ) from error

    def setup(self, stage: str | None = None) -> None:
        """Read the files into memory, once; training images only for stage "fit" or None.

        Raises:
            DataMissing: if a file is not there.
            ValueError: if a file is damaged.
        """
        if self.fold is not None:
            if not hasattr(self, "validation_set"):
                self.train_set, self.validation_set = self._split(self.fold)
            return
        if not hasattr(self, "validation_set"):
            self.validation_set = self._read("validation")
        if stage in (None, "fit") and not hasattr(self, "train_set"):
            self.train_set = self._all() if self.pool else self._read("train")

    def _all(self) -> TensorImages:
        """All images; the publisher's training images come first."""
        parts = [self._read(part) for part in _PARTS]
        return TensorImages(
            torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
        )

    def _split(self, fold: int) -> tuple[TensorImages, TensorImages]:
        """All images but one fold, and that fold; the publisher's training images come first."""
        everything = self._all()
        images, labels = everything.images, everything.labels
        inside = torch.zeros(len(images), dtype=torch.bool)
        inside[list(fold_range(len(images), fold))] = True
        return (
            TensorImages(images[~inside], labels[~inside]),
            TensorImages(images[inside], labels[inside]),
        )

    def _read(self, part: str) -> TensorImages:
        images_name, labels_name = _PARTS[part]
        images = self._read_file(images_name, read_image_file)
        labels = self._read_file(labels_name, read_label_file)
        if images.shape[1:] != (28, 28):
            raise InputError(
                f"{images_name} in {self.folder.resolve()} has images of {tuple(images.shape[1:])} "
                "pixels, expected (28, 28)"
            )
        if len(images) != len(labels):
            raise InputError(
                f"{images_name} in {self.folder.resolve()} has {len(images):,} images, but "
                f"{labels_name} has {len(labels):,} labels; download them again"
            )
        if labels.max() > 9:
            raise InputError(
                f"{labels_name} in {self.folder.resolve()} has the label {int(labels.max())}, "
                "expected 0 to 9; download it again"
            )
        return TensorImages(pad(images.unsqueeze(1), (self.padding,) * 4), labels)

    def _read_file(self, name: str, read: Callable[[str], Tensor]) -> Tensor:
        path = _find(self.folder, name)
        if path is None:
            raise DataMissing(
                f"{self.source.__name__} is not complete: no {name} (or {name}.gz) in "
                f"{self.folder.resolve()}; set data.download=true, or put the file there"
            )
        try:
            if path.suffix != ".gz":
                return read(str(path))
            # the reader needs a file name, and the data's own folder may be read-only
            with tempfile.TemporaryDirectory() as folder, gzip.open(path) as packed:
                unpacked = Path(folder, name)
                content = packed.read(_MAX_BYTES + 1)
                if len(content) > _MAX_BYTES:
                    raise InputError(f"it unpacks to more than {_MAX_BYTES:,} bytes")
                unpacked.write_bytes(content)
                return read(str(unpacked))
        # a damaged file may raise almost anything in the reader
        except Exception as error:
            why = reason(error)
            raise InputError(
                f"{path.resolve()} cannot be read ({why}); if it is damaged, download it again"
            ) from error


class MNIST(_IdxImages):
    """Handwritten digits (LeCun et al. 1998): 60,000 to train, 10,000 to validate; 1×32×32.

    Args:
        root: folder with ``MNIST/raw``, which has the four idx files, gzipped or not; a download
            puts them there.
        download: download the files if they are missing.
        fold: which of 7 folds of all 70,000 images to validate on, 0 to 6, and to train on the
            others; None keeps the publisher's split.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
        padding: black pixels on each side; with 0 the images are 1×28×28.
        pool: whether to train on all 70,000 images. Those that validate are then among them, as in
            the thesis's sections 4.1 and 4.5.2.
        weights: probability of each class in training, with sum 1: images are drawn with
            replacement, and an epoch draws as many as there are. None sees each image once.

    Raises:
        ValueError: if an argument is out of its range.
    """

    source = datasets.MNIST
    has_digits = True


class FashionMNIST(_IdxImages):
    """Pictures of clothes (Xiao et al. 2017): 60,000 to train, 10,000 to validate; 1×32×32.

    Args:
        root: folder with ``FashionMNIST/raw``, which has the four idx files, gzipped or not; a
            download puts them there.
        download: download the files if they are missing.
        fold: which of 7 folds of all 70,000 images to validate on, 0 to 6, and to train on the
            others; None keeps the publisher's split.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
        padding: black pixels on each side; with 0 the images are 1×28×28.
        pool: whether to train on all 70,000 images. Those that validate are then among them, as in
            the thesis's sections 4.1 and 4.5.2.
        weights: probability of each class in training, with sum 1: images are drawn with
            replacement, and an epoch draws as many as there are. None sees each image once.

    Raises:
        ValueError: if an argument is out of its range.
    """

    name = "fashion_mnist"
    source = datasets.FashionMNIST
    class_names = (tuple(datasets.FashionMNIST.classes),)


class KMNIST(_IdxImages):
    """Cursive Japanese (Clanuwat et al. 2018): 60,000 to train, 10,000 to validate; 1×32×32.

    Args:
        root: folder with ``KMNIST/raw``, which has the four idx files, gzipped or not; a download
            puts them there.
        download: download the files if they are missing.
        fold: which of 7 folds of all 70,000 images to validate on, 0 to 6, and to train on the
            others; None keeps the publisher's split.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
        padding: black pixels on each side; with 0 the images are 1×28×28.
        pool: whether to train on all 70,000 images. Those that validate are then among them, as in
            the thesis's sections 4.1 and 4.5.2.
        weights: probability of each class in training, with sum 1: images are drawn with
            replacement, and an epoch draws as many as there are. None sees each image once.

    Raises:
        ValueError: if an argument is out of its range.
    """

    source = datasets.KMNIST
