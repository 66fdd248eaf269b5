"""How near the corruptions of this package are to the published files of MNIST-C.

    python -m scripts.compare_corruptions data fog zigzag

``data`` holds ``MNIST/raw`` and ``mnist_c/NAME/test_images.npy``; without names, all ten are
compared. Each line has the share of equal pixels, the root mean square over the pixels of the
difference in mean and in standard deviation, and the energy distance of the images; each measure is
that between the files and seed 0 here, then that between seeds 0 and 1 here. Pixels are in [0, 1].
"""

from __future__ import annotations

import sys
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from lightning_gans.data import MNIST
from lightning_gans.data.tensors import TensorImages
from lightning_gans.ood.corruptions import NAMES, corrupt_bytes
from lightning_gans.ood.datasets.published import read_published

# images of one set that are compared with another at a time
_BLOCK = 1000


@dataclass(frozen=True)
class Difference:
    """How two sets of images differ, paired by index.

    Attributes:
        unequal: the share of pixels.
        mean: the difference of the per-pixel means, root mean square over the pixels.
        deviation: the same of the per-pixel standard deviations.
        energy: the energy distance, 2 E|x - y| - E|x - x'| - E|y - y'|, of whole images.
    """

    unequal: float
    mean: float
    deviation: float
    energy: float


def difference(x: Tensor, y: Tensor) -> Difference:
    """The difference between two sets of images (n, height, width), uint8."""
    a, b = (images.flatten(1).float() / 255 for images in (x, y))
    deviations = (images.double().std(0) for images in (a, b))
    return Difference(
        float((x != y).double().mean()),
        float((a.double().mean(0) - b.double().mean(0)).square().mean().sqrt()),
        float(torch.sub(*deviations).square().mean().sqrt()),
        2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b),
    )


def _mean_distance(a: Tensor, b: Tensor) -> float:
    """The mean Euclidean distance between all rows of one and all rows of the other."""
    starts = range(0, len(a), _BLOCK)
    sums = [torch.cdist(a[i : i + _BLOCK], b).double().sum() for i in starts]
    return float(torch.stack(sums).sum()) / (len(a) * len(b))


def main(root: str, names: list[str]) -> None:
    """Print a line for each corruption."""
    data = MNIST(root)
    data.setup("validate")
    digits = data.validation_set
    assert isinstance(digits, TensorImages)
    bare = digits.images[:, :, 2:-2, 2:-2]
    for name in names or NAMES:
        files = read_published(data.root, name, "test", digits.labels)
        if files is None:
            print(f"{name}: no files")
            continue
        ours = [corrupt_bytes(bare, name, seed)[:, 0] for seed in (0, 1)]
        pairs = zip(
            astuple(difference(files[:, 0], ours[0])), astuple(difference(*ours)), strict=True
        )
        print(f"{name:14}", *(f"{found:.5f} ({usual:.5f})" for found, usual in pairs), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
