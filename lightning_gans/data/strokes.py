"""Digits whose labels are how they are written: slanted or not, thick or not."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.data.label_file import attribute
from lightning_gans.data.mnist import MNIST
from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import InputError
from lightning_gans.ranges import BatchSize, Padding, Workers, checked

# the medians of MNIST's 60,000 training images
SLANT, THICKNESS = 0.1034, 2.3597
# images that are measured at once
BATCH = 10_000


def slant(ink: Tensor) -> Tensor:
    """The slant of digits: how far a stroke moves to the right for one pixel upwards.

    Minus the covariance of columns and rows divided by the variance of rows, both weighted by ink:
    the shear that makes a digit upright, as in the deslanting of MNIST (LeCun et al. 1998). It is
    the tangent of the angle to the vertical, positive for digits that lean to the right.

    Args:
        ink: (n, 1, height, width), not negative.

    Returns:
        (n,); 0 for an image without ink, or with all of it in one row.

    Raises:
        InputError: for another shape, or negative ink.
    """
    x = _checked_ink(ink)
    total = x.sum((1, 2)).clamp(min=1e-12)
    rows = torch.arange(x.shape[1]).to(x).view(-1, 1)
    columns = torch.arange(x.shape[2]).to(x).view(1, -1)
    row, column = (_mean(x, of, total).view(-1, 1, 1) for of in (rows, columns))
    both = _mean(x, (rows - row) * (columns - column), total)
    variance = _mean(x, (rows - row).square(), total)
    return torch.where(variance > 0, -both / variance.clamp(min=1e-12), 0.0)


def thickness(ink: Tensor) -> Tensor:
    """The thickness of strokes in pixels: twice the ink, divided by the length of its outline.

    A stroke of width w and length l has the area w·l and an outline of 2·(w + l), so that this is
    w·l / (w + l), about w for a long stroke. The outline is the total variation of the ink.

    Args:
        ink: (n, 1, height, width), in [0, 1].

    Returns:
        (n,); 0 for an image without ink.

    Raises:
        InputError: for another shape, or negative ink.
    """
    x = torch.nn.functional.pad(_checked_ink(ink), (1, 1, 1, 1))
    down = x[:, 1:, :-1] - x[:, :-1, :-1]
    right = x[:, :-1, 1:] - x[:, :-1, :-1]
    outline = (down.square() + right.square()).sqrt().sum((1, 2))
    area = x.sum((1, 2))
    return torch.where(outline > 0, 2 * area / outline.clamp(min=1e-12), 0.0)


def _mean(x: Tensor, of: Tensor, total: Tensor) -> Tensor:
    return (x * of).sum((1, 2)) / total


def _checked_ink(ink: Tensor) -> Tensor:
    if ink.ndim != 4 or ink.shape[1] != 1:
        raise InputError(f"expected ink of shape (n, 1, height, width), got {tuple(ink.shape)}")
    if not (ink >= 0).all():
        raise InputError("expected ink of at least 0, got a negative or undefined value")
    return ink[:, 0].double()


class MNISTStrokes(MNIST):
    """MNIST with two attributes instead of digits: slanted and thick.

    A digit is slanted if its :func:`slant`, and thick if its :func:`thickness`, is above the median
    of the training images. A stand-in for the attributes of faces (thesis, section 4.2.3).

    Args:
        root: folder with ``MNIST/raw``, which has the four idx files, gzipped or not; a download
            puts them there.
        download: download the files if they are missing.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.
        padding: black pixels on each side; with 0 the images are 1×28×28.
    """

    name = "mnist_strokes"
    classes = (2, 2)  # type: ignore[assignment]  # two labels, where digits have one
    class_names = (attribute("slanted"), attribute("thick"))

    @checked
    def __init__(
        self,
        root: str,
        download: bool = False,
        batch_size: BatchSize = 32,
        workers: Workers = 0,
        *,
        padding: Padding = 2,
    ) -> None:
        super().__init__(root, download, None, batch_size, workers, padding=padding)

    def _read(self, part: str) -> TensorImages:
        images = super()._read(part).images
        parts = [chunk.double() / 255 for chunk in torch.split(images, BATCH)]
        found = [
            torch.cat([measure(chunk) > median for chunk in parts]).long()
            for measure, median in ((slant, SLANT), (thickness, THICKNESS))
        ]
        return TensorImages(images, torch.stack(found, 1))
