"""Slant and thickness of strokes that are drawn with known ones, and the labels made of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_gans.data import MNIST, MNISTStrokes, strokes
from lightning_gans.data.strokes import slant, thickness
from lightning_gans.errors import InputError
from tests.support.idx import write_digits
from tests.support.strokes import bar


@pytest.mark.parametrize("shear", [-1, 0, 1])
def test_the_slant_of_a_bar_is_its_shear(shear: int) -> None:
    assert float(slant(bar(4, 20, shear))) == pytest.approx(shear)
    # neither its place nor how dark it is matters
    moved = torch.roll(0.3 * bar(4, 20, shear), (5, -2), (2, 3))
    assert float(slant(moved)) == pytest.approx(shear, abs=1e-6)


def test_the_slant_is_the_slope_of_a_regression_of_columns_on_rows() -> None:
    ink = torch.rand(3, 1, 9, 7, generator=torch.Generator().manual_seed(0))
    for image, found in zip(ink[:, 0].double(), slant(ink), strict=True):
        rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(7.0), indexing="ij")
        weight = image.flatten().sqrt()
        design = torch.stack([torch.ones(63), -rows.flatten()], 1).double() * weight[:, None]
        target = (columns.flatten().double() * weight)[:, None]
        slope = torch.linalg.lstsq(design, target).solution[1]
        assert float(found) == pytest.approx(float(slope))


@pytest.mark.parametrize(("width", "height"), [(1, 30), (3, 25), (6, 20)])
def test_the_thickness_of_a_bar_is_nearly_its_width(width: int, height: int) -> None:
    found = float(thickness(bar(width, height)))
    # one corner of the outline is cut, by 2 - sqrt(2) pixels
    outline = 2 * (width + height) - (2 - math.sqrt(2))
    assert found == pytest.approx(2 * width * height / outline)
    assert found == pytest.approx(width, rel=0.25)


def test_images_without_ink_have_neither_slant_nor_thickness() -> None:
    empty, flat = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    flat[..., 4, 2:6] = 1
    assert slant(empty) == thickness(empty) == slant(flat) == 0


@pytest.mark.parametrize("ink", [torch.zeros(2, 8, 8), torch.full((1, 1, 8, 8), -1.0)])
def test_signed_images_and_other_shapes_are_refused(ink: Tensor) -> None:
    with pytest.raises(InputError, match="expected ink"):
        slant(ink)
    with pytest.raises(InputError, match="expected ink"):
        thickness(ink)


def test_labels_say_which_digits_are_above_the_medians(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_digits(tmp_path, "MNIST", 0, train=40, test=10)
    monkeypatch.setattr(strokes, "BATCH", 7)
    plain = MNIST(str(tmp_path))
    plain.setup("fit")
    ink = torch.stack([(plain.train_set[i][0] + 1) / 2 for i in range(40)])
    median = float(thickness(ink).median())
    monkeypatch.setattr(strokes, "THICKNESS", median)
    data = MNISTStrokes(str(tmp_path))
    data.setup("fit")
    assert data.classes == (2, 2)
    assert [names[1] for names in data.class_names or ()] == ["slanted", "thick"]
    for dataset in (data.train_set, data.validation_set):
        for i in range(10):
            image, label = dataset[i]
            ink = ((image + 1) / 2)[None]
            assert label.tolist() == [slant(ink) > 0.1034, thickness(ink) > median]
    labels = torch.stack([data.train_set[i][1] for i in range(40)])
    assert 0 < int(labels[:, 0].sum()) < 40
    assert 15 < int(labels[:, 1].sum()) < 25
