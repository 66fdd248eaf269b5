"""Digits, and twelve sets and letters that are none (thesis, section 4.3.1)."""

from __future__ import annotations

from typing import cast

from torch.utils.data import Dataset

from lightning_gans.data import KMNIST, MNIST, DataMissing, FashionMNIST
from lightning_gans.data.tensors import Batch, TensorImages
from lightning_gans.ood.corruptions import NAMES
from lightning_gans.ood.datasets.corrupted import Corrupted
from lightning_gans.ood.datasets.letters import Letters
from lightning_gans.ood.datasets.ood_data import OODData


class MNISTOOD(OODData):
    """MNIST's test digits beside ten corruptions of them, clothes, cursive Japanese, letters.

    The corruptions are of the same digits, paired by index, within 28×28 pixels. Clothes and
    Japanese are the test images of FashionMNIST and KMNIST, in each fold. (The thesis has no
    letters, and takes other clothes and Japanese in each fold.)

    Args:
        root: folder that has, or gets, ``MNIST/raw``, ``FashionMNIST/raw`` and ``KMNIST/raw``;
            without the last two, the sets are missing.
        download: fetch the files if they are not there.
        fold: of MNIST's 7 folds, the one whose digits are ID, from 0; the publisher's test images
            without.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    image_shape = (1, 32, 32)
    classes = (10,)
    name = "mnist_ood"
    padding = MNIST.padding
    loading_arguments = MNIST.loading_arguments
    near = 0.1

    def __init__(
        self,
        root: str,
        download: bool = False,
        fold: int | None = None,
        batch_size: int = 32,
        workers: int = 0,
    ) -> None:
        super().__init__(batch_size, workers)
        self.root, self.download, self.fold = root, download, fold
        self.digits = MNIST(root, download, fold)
        self.others = {
            "fashion_mnist": FashionMNIST(root, download),
            "kmnist": KMNIST(root, download),
        }

    def prepare_data(self) -> None:
        """Download the files if that is allowed and any is missing.

        Raises:
            DataMissing: if the download of the digits fails.
        """
        self.digits.prepare_data()
        for other in self.others.values():
            try:
                other.prepare_data()
            except DataMissing:
                continue  # setup says so

    def setup(self, stage: str | None = None) -> None:
        """Read what is there, once.

        Raises:
            DataMissing: if MNIST is not there.
            ValueError: if a file is damaged.
        """
        self.digits.setup(stage)
        self.validation_set = self.digits.validation_set
        if hasattr(self.digits, "train_set"):
            self.train_set = self.digits.train_set
        if hasattr(self, "sets"):
            return
        images, seed = cast(TensorImages, self.validation_set), self.digits.fold or 0
        sets: dict[str, Dataset[Batch]] = {name: Corrupted(images, name, seed) for name in NAMES}
        missing = {}
        for name, other in self.others.items():
            try:
                other.setup("validate")
                sets[name] = other.validation_set
            except DataMissing as error:
                missing[name] = str(error)
        sets["letters"] = Letters(len(images), seed)
        self.sets, self.missing = sets, missing
