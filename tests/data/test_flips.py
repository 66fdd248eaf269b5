"""Mirrored images in training: which ones, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from lightning_gans.data import Folder
from lightning_gans.data.mirrored import WithMirrored
from lightning_gans.data.sampling import EpochShuffle
from lightning_gans.data.tensors import TensorImages


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 images whose left half is black and whose right half is grey of their number."""
    for i in range(1, 31):
        pixels = np.zeros((4, 4), np.uint8)
        pixels[:, 2:] = 8 * i
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
    return tmp_path


def data(folder: Path, **options: object) -> Folder:
    given = {"channels": 1, "validation": 6, "batch_size": 4, "cache": 0.0, **options}
    made = Folder(str(folder), 4, **given)  # type: ignore[arg-type]  # by name, as given
    made.setup()
    return made


def shown(made: Folder, epoch: int = 0) -> list[tuple[int, bool]]:
    """The number of each image in the order of an epoch, and whether it is mirrored."""
    loader = made.train_dataloader()
    assert isinstance(loader.sampler, EpochShuffle)
    loader.sampler.set_epoch(epoch)
    found = []
    for x, _ in loader:
        for image in ((x + 1) * 127.5).round():
            left, right = int(image[0, 0, 0]), int(image[0, 0, 3])
            assert min(left, right) == 0
            found.append((max(left, right) // 8, left > 0))
    return found


def test_about_half_of_the_images_of_an_epoch_are_mirrored_and_others_in_the_next(
    folder: Path,
) -> None:
    flipped, plain = data(folder, flip=True), data(folder)
    epochs = [shown(flipped, epoch) for epoch in range(20)]
    for epoch, seen in enumerate(epochs):
        # the order, and each image once, as without
        assert [number for number, _ in seen] == [number for number, _ in shown(plain, epoch)]
    mirrored = [{number for number, swapped in seen if swapped} for seen in epochs]
    assert len({frozenset(numbers) for numbers in mirrored}) == 20
    assert 0.4 < sum(map(len, mirrored)) / (20 * 24) < 0.6
    assert not any(swapped for _, swapped in shown(plain))


def test_held_out_images_are_never_mirrored(folder: Path) -> None:
    for made in (data(folder, flip=True), data(folder, flip=True, validation=0)):
        for x, _ in made.val_dataloader():
            assert (x[..., 0] == -1).all()
            assert (x[..., 3] > -1).all()


def test_a_description_of_the_images_is_the_same_with_flips(folder: Path) -> None:
    assert data(folder, flip=True).describe() == data(folder).describe()


def test_workers_mirror_the_same_images(folder: Path) -> None:
    assert shown(data(folder, flip=True, workers=2)) == shown(data(folder, flip=True))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 99), st.integers(0, 50))
def test_processes_and_resumed_runs_mirror_what_one_process_does(
    rows: int, processes: int, seed: int, made: int
) -> None:
    length, size = 24, rows * processes
    whole = EpochShuffle(length, seed, size, mirrored=True)
    epoch, position = divmod(made, length // size)
    whole.set_epoch(epoch)
    expected = list(whole)[position * size :]
    shares = [
        list(EpochShuffle(length, seed, size, lambda: made, rank, processes, mirrored=True))
        for rank in range(processes)
    ]
    if made:
        found = [index for batch in zip(*shares, strict=True) for index in batch]
        assert found == expected


def test_flips_depend_on_the_seed() -> None:
    orders = [list(EpochShuffle(64, seed, mirrored=True)) for seed in (0, 0, 1)]
    # by place: which image stands there depends on the seed anyway
    first, again, other = ([i >= 64 for i in order] for order in orders)
    assert first == again
    assert first != other


def images(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (n, 2, 3, 5), generator=generator).to(torch.uint8)


def test_one_image_and_a_batch_are_mirrored_alike() -> None:
    inner = TensorImages(images(5), torch.arange(5))
    both = WithMirrored(inner)
    assert len(both) == 10
    chosen = [7, 2, 0, 9, 5, 4]
    x, y = both.__getitems__(chosen)
    assert y.tolist() == [2, 2, 0, 4, 0, 4]
    for row, index in enumerate(chosen):
        plain = inner[index % 5][0]
        assert torch.equal(x[row], plain[..., [4, 3, 2, 1, 0]] if index >= 5 else plain)
        assert torch.equal(x[row], both[index][0])
