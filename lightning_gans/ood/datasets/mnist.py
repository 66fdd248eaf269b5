"""Digits, and thirteen OOD sets (thesis, section 4.3.1)."""

from __future__ import annotations

from functools import cached_property
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data import KMNIST, MNIST, DataMissing, FashionMNIST
from lightning_gans.data.mnist import fold_range
from lightning_gans.data.tensors import Batch, TensorImages
from lightning_gans.ood.corruptions import NAMES
from lightning_gans.ood.datasets.corrupted import Corrupted, padded
from lightning_gans.ood.datasets.letters import Letters
from lightning_gans.ood.datasets.ood_data import OODData, Source
from lightning_gans.ood.datasets.published import FOLDER, Part, read_published
from lightning_gans.ranges import BatchSize, NonNegativeInt, Padding, Workers, checked


class MNISTOOD(OODData):
    """MNIST's test digits, ten corruptions of them, FashionMNIST, KMNIST and letters.

    The corruptions are of the same digits, paired by index, within 28×28 pixels: the published
    files of MNIST-C where they lie in ``root``, otherwise made anew. In a fold, FashionMNIST and
    KMNIST are the images of the same numbers as the digits, as in the thesis's code. (The thesis
    has no letters.) Images of all sets are padded alike.

    Args:
        root: folder with ``MNIST/raw``, ``FashionMNIST/raw`` and ``KMNIST/raw``; a download puts
            them there. Without one of the last two, its set is missing. Corrupted digits are read
            from ``mnist_c/NAME/test_images.npy``, in folds of the publisher's training images from
            ``train_images.npy``.
        download: download the files if they are missing; MNIST-C is not downloaded.
        fold: which of the 7 folds is ID, 0 to 6; None for the publisher's test images.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
        padding: black pixels on each side, as in ``MNIST``; with 0 the images are 1×28×28.

    Raises:
        ValueError: if an argument is out of its range.
    """

    classes = (10,)
    name = "mnist_ood"
    padding = MNIST.padding
    has_digits = MNIST.has_digits
    loading_arguments = MNIST.loading_arguments
    near = 0.1

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
    ) -> None:
        super().__init__(batch_size, workers)
        self.root, self.download, self.fold, self.padding = root, download, fold, padding
        self.digits = MNIST(root, download, fold, padding=padding)
        self.others = {
            "fashion_mnist": FashionMNIST(root, download, fold, padding=padding),
            "kmnist": KMNIST(root, download, fold, padding=padding),
        }

    @property
    def inside(self) -> MNIST:
        """The digits."""
        return self.digits

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.digits.image_shape

    def prepare_data(self) -> None:
        """Download the files if ``download`` is set and any is missing.

        Raises:
            DataMissing: if the download of the digits fails.
        """
        self.digits.prepare_data()
        for other in self.others.values():
            try:
                other.prepare_data()
            except DataMissing:
                continue  # setup reports it

    def setup(self, stage: str | None = None) -> None:
        """Read the files, once.

        Raises:
            DataMissing: if MNIST is not there.
            ValueError: if a file is damaged, or a file of MNIST-C has not these digits.
        """
        self.digits.setup(stage)
        self.validation_set = self.digits.validation_set
        if hasattr(self.digits, "train_set"):
            self.train_set = self.digits.train_set
        if hasattr(self, "sets"):
            return
        images, seed = cast(TensorImages, self.validation_set), self.digits.fold or 0
        published = {name: self._published(name, images.labels) for name in NAMES}
        sets: dict[str, Dataset[Batch]] = {
            name: Corrupted(images, name, seed, self.padding)
            if found is None
            else TensorImages(padded(found, self.padding), images.labels)
            for name, found in published.items()
        }
        sources: dict[str, Source] = {
            name: "made" if found is None else "files" for name, found in published.items()
        }
        missing = {}
        for name, other in self.others.items():
            try:
                other.setup("validate")
                sets[name], sources[name] = other.validation_set, "files"
            except DataMissing as error:
                missing[name] = str(error)
        letters = Letters(len(images), seed, padding=self.padding)
        sets["letters"], sources["letters"] = letters, "made"
        self.sets, self.missing, self.sources = sets, missing, sources

    def _published(self, name: str, labels: Tensor) -> Tensor | None:
        """The published images of the ID digits, corrupted; None without those files."""
        root = self.digits.root
        if self.fold is None:
            return read_published(root, name, "test", labels)
        if not (root / FOLDER / name).exists():
            return None  # before all of MNIST is read for its labels
        parts = self.parts_of_digits
        inside = fold_range(sum(len(of) for of in parts.values()), self.fold)
        found, first = [], 0
        for part, of in parts.items():
            # the indices of the fold within this part
            chosen = range(max(inside.start - first, 0), min(inside.stop - first, len(of)))
            first += len(of)
            if not chosen:
                continue
            images = read_published(root, name, part, of)
            if images is None:
                return None
            found.append(images[chosen.start : chosen.stop])
        return torch.cat(found)

    @cached_property
    def parts_of_digits(self) -> dict[Part, Tensor]:
        """The labels of MNIST's training and test digits, in its order."""
        whole = self.digits.replace(fold=None)
        whole.setup()
        train, test = (
            cast(TensorImages, images).labels for images in (whole.train_set, whole.validation_set)
        )
        return {"train": train, "test": test}
