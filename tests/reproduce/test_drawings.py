"""Pictures of items show what was measured, and which images were tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans import plots
from lightning_gans.data import MNIST
from lightning_gans.errors import InputError
from lightning_gans.models import GAN, Autoencoder
from lightning_gans.ood.batches import size
from lightning_gans.ood.datasets import MNISTOOD
from lightning_gans.reproduce import curves, ood_sheets
from lightning_gans.reproduce.ood_sheets import draw_reconstructions, draw_sets, read_sets
from tests.support.idx import write_digits


def write_log(run: Path, rows: str) -> Path:
    run.mkdir()
    (run / "metrics.csv").write_text(rows)
    return run


LOG = "psnr/real,loss/generator,evaluation/samples,step\n,0.7,,50\n12.5,,8,100\n14.0,,8,200\n"


def test_curves_are_of_the_evaluations_of_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_log(tmp_path / "one", LOG)
    two = write_log(tmp_path / "two", LOG.replace("14.0", "9.0"))
    drawn = {}
    monkeypatch.setattr(plots, "curve_panels", lambda panels, path, columns: drawn.update(panels))
    curves.draw({"dlsgan": [one, two]}, tmp_path / "a.png", ("psnr.real",))
    series = [([100.0, 200.0], [12.5, 14.0]), ([100.0, 200.0], [12.5, 9.0])]
    assert drawn == {"psnr.real": {"dlsgan": series}}
    with pytest.raises(InputError, match=r"psnr.fake was measured in none of the runs of dlsgan"):
        curves.draw({"dlsgan": [one, two]}, tmp_path / "a.png", ("psnr.fake",))


@pytest.mark.figures
def test_panels_of_curves_are_one_picture(tmp_path: Path) -> None:
    run = [([1.0, 2.0], [3.0, 1.0])]
    plots.curve_panels({"a": {"x_": run, "_y": run}, "$b": {"x_": run}}, tmp_path / "a.png", 1)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height > 1.2 * picture.width  # below each other


@pytest.mark.figures
def test_a_group_has_one_colour_in_all_panels(tmp_path: Path) -> None:
    """The colour of the second line of the first panel, where the second panel lacks the first."""
    run = [([1.0, 2.0], [3.0, 1.0])]
    colours = []
    for name in ("dlsgan", "encoder"):
        plots.curve_panels(
            {"fid": {"dlsgan": [], "encoder": []}, "psnr": {name: run}}, tmp_path / "a.png", 1
        )
        with Image.open(tmp_path / "a.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        colours.append({tuple(pixel) for pixel in np.unique(pixels, axis=0).tolist()})
    blue, orange = (31, 119, 180), (255, 127, 14)
    assert [(blue in found, orange in found) for found in colours] == [(True, False), (False, True)]


def test_a_sheet_has_its_images_in_place_with_wider_gaps_where_asked(tmp_path: Path) -> None:
    levels = torch.tensor([[10, 20, 30], [40, 50, 60]], dtype=torch.uint8)
    rows = [level.view(3, 1, 1, 1).expand(3, 1, 48, 48) for level in levels]
    plots.sheet(rows, tmp_path / "a.png", gaps=(1,))
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape == (48 + 2 + 48, 48 + 2 + 6 + 48 + 2 + 48)
    assert [pixels[0, 47], pixels[0, 48], pixels[0, 55], pixels[0, 56]] == [10, 255, 255, 20]
    assert [pixels[97, 0], pixels[49, 0], pixels[97, -1]] == [40, 255, 60]


@pytest.fixture
def root(tmp_path: Path) -> str:
    for seed, name in enumerate(("MNIST", "FashionMNIST")):
        write_digits(tmp_path / "data", name, seed, train=12, test=12)
    return str(tmp_path / "data")


class Upper(Autoencoder):
    """Reconstructs the upper half of an image, and makes the rest grey."""

    def reconstruct(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :16, :], torch.zeros_like(x[..., 16:, :])], 2)


def test_near_images_are_a_tenth_of_the_far_ones(root: str) -> None:
    sets = read_sets(root, "mnist", 3)
    assert "letters" not in sets.far
    assert "kmnist" not in sets.far
    assert set(sets.near) == set(sets.far) >= {"stripe", "fog", "fashion_mnist"}
    for name, x in sets.far.items():
        assert sets.near[name] == pytest.approx(0.1 * x + 0.9 * sets.inside, abs=1e-5), name


@pytest.mark.parametrize("fold", [None, 0, 6])
def test_id_images_are_of_the_fold_that_is_not_trained_on(fold: int | None, root: str) -> None:
    data = MNIST(root, fold=fold)
    data.setup("validate")
    sets = read_sets(root, "mnist", 3, fold)
    expected = torch.stack([data.validation_set[i][0] for i in range(3)])
    assert sets.inside.equal(expected)


def test_of_large_sets_no_more_images_are_counted_than_are_used(root: str) -> None:
    tested = MNISTOOD(root)
    tested.setup("test")
    found = ood_sheets.sizes(root, "mnist", most=5)
    assert set(found) == {f"images.{name}" for name in tested.sets if name != "letters"}
    assert set(found.values()) == {5}
    many = ood_sheets.sizes(root, "mnist")
    assert many == {f"images.{k}": size(of) for k, of in tested.sets.items() if k != "letters"}


def test_errors_of_reconstructed_sets_are_those_of_what_is_lost(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ood_sheets, "load", lambda run: Upper((1, 32, 32), latent_dim=2))
    found = ood_sheets.reconstruction(tmp_path, root, images=4)
    data = MNIST(root)
    data.setup("validate")
    x = torch.stack([data.validation_set[i][0] for i in range(4)])
    mse = x[..., 16:, :].double().square().sum((1, 2, 3)) / 1024
    # PSNR of images in [-1, 1], whose range is 2
    assert found["inside"] == pytest.approx(float((10 * (4 / mse).log10()).mean()), abs=1e-4)
    assert found["near"] != found["far"]
    monkeypatch.setattr(ood_sheets, "load", lambda run: GAN((1, 16, 16), latent_dim=2))
    with pytest.raises(InputError, match="GAN does not reconstruct images"):
        ood_sheets.reconstruction(tmp_path, root)


def test_sheets_of_sets_have_a_column_for_each(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ood_sheets, "load", lambda run: Upper((1, 32, 32), latent_dim=2))
    draw_sets(tmp_path / "a.png", root, rows=2)
    draw_reconstructions({"autoencoder": [tmp_path]}, tmp_path / "b.png", root)
    count = len(read_sets(root, "mnist", 1).far)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == ((1 + 2 * count) * 66 - 2 + 12, 2 * 66 - 2)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (count * 66 - 2, 4 * 66 - 2)
        pixels = np.asarray(picture.convert("L"))
    # the lower half of reconstructions is grey
    assert set(pixels[66 + 40, :64]) <= {127, 128}
    assert (pixels[66 : 66 + 32, :64] == pixels[:32, :64]).all()
