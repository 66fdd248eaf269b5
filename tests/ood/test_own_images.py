"""A person's own images are treated as those that a model was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.data.data_module import DataMissing
from lightning_gans.errors import InputError
from lightning_gans.ood.own_images import list_images, own_images


def treated(folder: Path, shape: tuple[int, ...], kind: str, **arguments: object) -> list[Tensor]:
    data = json.dumps({"class_path": f"lightning_gans.data.{kind}", "init_args": arguments})
    own = own_images(folder, list_images(folder), shape, data)
    return [own.images[i][0] for i in range(len(own.readable))]


def test_images_are_cropped_as_the_held_out_ones(tmp_path: Path) -> None:
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 255
    (tmp_path / "x").mkdir()
    Image.fromarray(wide).save(tmp_path / "x" / "wide.png")
    (centre,) = treated(tmp_path / "x", (1, 16, 16), "Folder")
    assert (centre == 1).all()
    (squashed,) = treated(tmp_path / "x", (1, 16, 16), "Folder", crop="none")
    assert squashed.mean() == pytest.approx(-1 / 3, abs=0.02)
    (left,) = treated(tmp_path / "x", (1, 16, 16), "Folder", crop=[0, 0, 32, 0])
    assert (left == -1).all()
    own = own_images(
        tmp_path / "x",
        ["wide.png"],
        (1, 16, 16),
        json.dumps({"class_path": "a.Folder", "init_args": {"crop": [24, 0, 24, 0]}}),
    )
    assert own.readable == []
    assert "leaves nothing of 48 x 16 pixels" in own.reasons["wide.png"]


def test_colours_of_images_and_models(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    Image.new("L", (5, 5), 51).save(tmp_path / "x" / "a_grey.png")
    Image.new("RGB", (5, 5), (255, 0, 0)).save(tmp_path / "x" / "b_red.png")
    grey, red = treated(tmp_path / "x", (3, 8, 8), "Folder")
    assert grey.shape == (3, 8, 8)
    torch.testing.assert_close(grey, torch.full((3, 8, 8), -0.6))
    assert red[:, 4, 4].tolist() == [1, -1, -1]
    grey, red = treated(tmp_path / "x", (1, 8, 8), "Folder")
    torch.testing.assert_close(grey, torch.full((1, 8, 8), -0.6))
    # the luma of ITU-R 601
    assert red.mean() == pytest.approx(2 * 0.299 - 1, abs=0.01)


def test_digits_of_28_pixels_are_framed_as_mnist_is(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    random = torch.Generator().manual_seed(0)
    digit = torch.randint(0, 256, (28, 28), generator=random).to(torch.uint8)
    Image.fromarray(digit.numpy()).save(tmp_path / "x" / "a.png")
    framed = torch.nn.functional.pad(digit, (2, 2, 2, 2))
    Image.fromarray(framed.numpy()).save(tmp_path / "x" / "b.png")
    Image.new("L", (56, 56), 255).save(tmp_path / "x" / "c.png")
    for kind in ("MNIST", "MNIST5k", "FashionMNIST", "KMNIST"):
        small, whole, other = treated(tmp_path / "x", (1, 32, 32), kind)
        torch.testing.assert_close(small[0], framed / 127.5 - 1)
        assert torch.equal(small, whole)
        assert (other == 1).all()
    small, _, _ = treated(tmp_path / "x", (1, 32, 32), "Folder")
    assert small[0, 0].max() > -0.9


def test_only_square_images_can_be_read(tmp_path: Path) -> None:
    for shape in ((2,), (1, 8, 16), (4, 8, 8)):
        with pytest.raises(InputError, match="models of square images"):
            own_images(tmp_path, [], shape, "{}")


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.png", "a.JPG", "b/10.png", "c.txt", ".hidden.png", "B.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(path, format="png")
    names = list_images(tmp_path)
    assert names == ["B.png", "a.JPG", "b/10.png", "b/2.png"]
    (tmp_path / "a.JPG").write_text("no")
    own = own_images(tmp_path, names, (1, 4, 4), json.dumps({"class_path": "x.Folder"}))
    assert own.names == names
    assert own.readable == ["B.png", "b/10.png", "b/2.png"]
    assert set(own.reasons) == {"a.JPG"}
    (tmp_path / "b" / "none").mkdir()
    with pytest.raises(DataMissing, match=r"no images \(\.png .* in .*b/none or the folders"):
        list_images(tmp_path / "b" / "none")
