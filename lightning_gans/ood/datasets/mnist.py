"""Digits, and thirteen OOD sets (thesis, section 4.3.1)."""

from __future__ import annotations

from typing import cast

from torch.utils.data import Dataset

from lightning_gans.data import KMNIST, MNIST, DataMissing, FashionMNIST
from lightning_gans.data.tensors import Batch, TensorImages
from lightning_gans.ood.corruptions import NAMES
from lightning_gans.ood.datasets.corrupted import Corrupted
from lightning_gans.ood.datasets.letters import Letters
from lightning_gans.ood.datasets.ood_data import OODData
from lightning_gans.ranges import BatchSize, NonNegativeInt, Workers, checked


class MNISTOOD(OODData):
    """MNIST's test digits, ten corruptions of them, FashionMNIST, KMNIST and letters.

    The corruptions are of the same digits, paired by index, within 28×28 pixels. FashionMNIST and
    KMNIST are their test images, the same in each fold. (The thesis has no letters, and takes other
    images of FashionMNIST and KMNIST in each fold.)

    Args:
        root: folder with ``MNIST/raw``, ``FashionMNIST/raw`` and ``KMNIST/raw``; a download puts
            them there. Without one of the last two, its set is missing.
        download: download the files if they are missing.
        fold: which of MNIST's 7 folds is ID, 0 to 6; None for the publisher's test images.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    image_shape = (1, 32, 32)
    classes = (10,)
    name = "mnist_ood"
    padding = MNIST.padding
    has_digits = MNIST.has_digits
    loading_arguments = MNIST.loading_arguments
    name = "mnist_ood"
    padding = MNIST.padding
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
    ) -> None:
        super().__init__(batch_size, workers)
        self.root, self.download, self.fold = root, download, fold
        self.root, self.download, self.fold = root, download, fold
        self.digits = MNIST(root, download, fold)
        self.others = {
            "fashion_mnist": FashionMNIST(root, download),
            "kmnist": KMNIST(root, download),
        }

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
