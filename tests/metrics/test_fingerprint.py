"""What data sets and extractors are known by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset

from lightning_gans.data.images import ImageFiles
from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import InputError
from lightning_gans.metrics import fingerprint
from tests.support.features import COUNT, Projection, prepared, random_images, random_pixels


class Noisy(Dataset[Tensor]):
    """Never the same twice."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Tensor:
        return torch.rand(2)


def test_random_data_are_refused() -> None:
    with pytest.raises(InputError, match="examples of Noisy differ when they are read again"):
        fingerprint(Noisy())


def test_fingerprints_tell_data_sets_apart() -> None:
    base = random_images()
    changed = random_pixels()
    changed[37, 0, 2, 2] ^= 1
    prints = [
        fingerprint(base),
        fingerprint(TensorImages(changed, base.labels)),
        fingerprint(TensorImages(random_pixels()[:-1], base.labels[:-1])),
        fingerprint(Subset(base, range(60))),
        fingerprint(Subset(base, range(59, -1, -1))),
    ]
    assert len(set(prints)) == len(prints)
    assert fingerprint(random_images()) == prints[0]
    assert fingerprint(Subset(random_images(), range(60))) == prints[3]


class Prepared(Dataset[Tensor]):
    """Images made of something else by a function, which no attribute tells."""

    def __init__(self, prepare: Callable[[Tensor], Tensor]) -> None:
        self.prepare = prepare

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Tensor:
        return self.prepare(random_pixels()[index])


def test_stylegan2_ada_pytorch_283_a_preparation_shows_in_the_pixels() -> None:
    plain = fingerprint(Prepared(lambda x: x.flip(1)))
    assert fingerprint(Prepared(lambda x: x.flip(1))) == plain
    assert fingerprint(Prepared(lambda x: x.flip(2))) != plain


def files(folder: Path, count: int = 90) -> ImageFiles:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i, levels in enumerate(rng.integers(0, 256, (count, 8, 8), dtype=np.uint8)):
        Image.fromarray(levels).save(folder / f"{i:03}.png")
    paths = [str(path) for path in sorted(folder.iterdir())]
    return ImageFiles(paths, torch.zeros(count, dtype=torch.int64), resolution=4, channels=1)


def test_files_may_move_but_not_change(tmp_path: Path) -> None:
    base = files(tmp_path / "a")
    found = fingerprint(base)
    (tmp_path / "b").mkdir()
    assert fingerprint(files(tmp_path / "b" / "c")) == found
    base.resolution = 5
    assert fingerprint(base) != found
    base.resolution, base.crop = 4, "none"  # the same pixels, of square images
    assert fingerprint(base) != found
    base.crop = "center"
    assert fingerprint(base) == found
    # an image that is not among those looked at is replaced
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "a" / "003.png")
    assert fingerprint(base) != found


def test_extractors_are_known_by_their_weights() -> None:
    extractor = prepared()
    assert extractor.identity() == prepared().identity()
    before = extractor.identity()
    extractor._network.weight[2, 3] += 1e-6
    assert extractor.identity() != before
    with pytest.raises(RuntimeError, match=r"call prepare\(device\)"):
        Projection().identity()
