"""Images of a folder are prepared as those that a model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.data import KMNIST, MNIST, DataMissing, FashionMNIST, MNIST5k
from lightning_gans.data.reading import read
from lightning_gans.errors import InputError
from lightning_gans.ood.datasets import MNISTOOD
from lightning_gans.ood.folder_images import check_square, list_images
from lightning_gans.ood.folder_images import prepared as prepared_images


def prepared(
    folder: Path, shape: tuple[int, ...], padding: int = 0, **arguments: object
) -> list[Tensor]:
    data = json.dumps({"class_path": "a.B", "init_args": arguments, "padding": padding})
    found = prepared_images(folder, list_images(folder), shape, data)
    return list(read(found, range(len(found))).x)


def test_images_are_cropped_as_the_held_out_ones(tmp_path: Path) -> None:
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 255
    (tmp_path / "x").mkdir()
    Image.fromarray(wide).save(tmp_path / "x" / "wide.png")
    (centre,) = prepared(tmp_path / "x", (1, 16, 16))
    assert (centre == 1).all()
    (squashed,) = prepared(tmp_path / "x", (1, 16, 16), crop="none")
    assert squashed.mean() == pytest.approx(-1 / 3, abs=0.02)
    (left,) = prepared(tmp_path / "x", (1, 16, 16), crop=[0, 0, 32, 0])
    assert (left == -1).all()
    found = prepared_images(
        tmp_path / "x",
        ["wide.png"],
        (1, 16, 16),
        json.dumps({"class_path": "a.Folder", "init_args": {"crop": [24, 0, 24, 0]}}),
    )
    there = read(found, [0])
    assert there.indices == []
    assert "leaves nothing of 48 x 16 pixels" in there.reasons[0]


def test_colours_of_images_and_models(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    Image.new("L", (5, 5), 51).save(tmp_path / "x" / "a_grey.png")
    Image.new("RGB", (5, 5), (255, 0, 0)).save(tmp_path / "x" / "b_red.png")
    grey, red = prepared(tmp_path / "x", (3, 8, 8))
    assert grey.shape == (3, 8, 8)
    torch.testing.assert_close(grey, torch.full((3, 8, 8), -0.6))
    assert red[:, 4, 4].tolist() == [1, -1, -1]
    grey, red = prepared(tmp_path / "x", (1, 8, 8))
    torch.testing.assert_close(grey, torch.full((1, 8, 8), -0.6))
    # the luma of ITU-R 601
    assert red.mean() == pytest.approx(2 * 0.299 - 1, abs=0.01)


def test_images_are_padded_as_the_held_out_ones(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    random = torch.Generator().manual_seed(0)
    digit = torch.randint(0, 256, (28, 28), generator=random).to(torch.uint8)
    Image.fromarray(digit.numpy()).save(tmp_path / "x" / "a.png")
    padded = torch.nn.functional.pad(digit, (2, 2, 2, 2))
    Image.fromarray(padded.numpy()).save(tmp_path / "x" / "b.png")
    Image.new("L", (56, 56), 255).save(tmp_path / "x" / "c.png")
    for data in (MNIST("x"), MNIST5k(), FashionMNIST("x"), KMNIST("x"), MNISTOOD("x")):
        padding = json.loads(data.describe())["padding"]
        small, whole, other = prepared(tmp_path / "x", (1, 32, 32), padding)
        torch.testing.assert_close(small[0], padded / 127.5 - 1)
        assert torch.equal(small, whole)
        assert (other == 1).all()
    small, _, _ = prepared(tmp_path / "x", (1, 32, 32))
    assert small[0, 0].max() > -0.9


def test_only_square_images_can_be_read() -> None:
    for shape in ((2,), (1, 8, 16), (4, 8, 8)):
        with pytest.raises(InputError, match="models of square images"):
            check_square(shape)


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.JPG", "b/10.png", "c.txt", ".hidden.png", "B.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(path, format="png")
    names = list_images(tmp_path)
    assert names == ["B.png", "a.JPG", "b/10.png", "b/2.png"]
    (tmp_path / "a.JPG").write_text("no")
    found = prepared_images(tmp_path, names, (1, 4, 4), json.dumps({"class_path": "x.Folder"}))
    there = read(found, range(4))
    assert there.indices == [0, 2, 3]
    assert set(there.reasons) == {1}
    assert str(tmp_path) not in there.reasons[1]
    (tmp_path / "b" / "none").mkdir()
    with pytest.raises(DataMissing, match=r"no images \(\.png .* in .*b/none or its subfolders"):
        list_images(tmp_path / "b" / "none")
