"""What is measured by size of the latent has the values that are known of simple networks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lightning_gans import plots
from lightning_gans.data import MNIST
from lightning_gans.errors import InputError
from lightning_gans.models import GAN, Autoencoder, Model
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.reproduce import latent_sizes
from lightning_gans.reproduce.latent_sizes import (
    classifier,
    digits,
    draw_errors,
    draw_evaluations,
    draw_norms,
    draw_reconstructions,
    draw_surfaces,
    draw_weights,
    errors,
    placements,
    surfaces,
    weights,
)
from tests.support.idx import write_digits

SHAPE = (1, 32, 32)
PIXELS = 1024


class Pixels(nn.Module):
    """A generator whose latent is the image, of which only the first rows can be made.

    Args:
        rows: that it makes; the rest is grey.
        gain: by which elements are multiplied.
    """

    def __init__(self, rows: int = 32, gain: float = 1.0) -> None:
        super().__init__()
        self.rows, self.gain = rows, gain

    def forward(self, z: Tensor) -> Tensor:
        image = self.gain * z.view(-1, *SHAPE)
        return image * (torch.arange(32) < self.rows).view(32, 1)


class Flat(nn.Module):
    """An encoder whose code is the image."""

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(x.new_empty(len(x), 0), x.flatten(1), x.flatten(1))


def gan(**options: float) -> GAN:
    return GAN(
        SHAPE,
        latent_dim=PIXELS,
        generator=lambda **_: Pixels(**options),  # type: ignore[arg-type]  # rows is whole
        discriminator=lambda **_: Flat(),  # type: ignore[arg-type]  # takes any arguments
    ).eval()


def autoencoder(rows: int = 32) -> Autoencoder:
    return Autoencoder(
        SHAPE,
        latent_dim=PIXELS,
        generator=lambda **_: Pixels(rows),  # type: ignore[arg-type]  # takes any arguments
        discriminator=lambda **_: Flat(),  # type: ignore[arg-type]  # takes any arguments
    ).eval()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of made digits and clothes; runs are models in memory."""
    write_digits(tmp_path / "data", "MNIST", 0, train=64, test=64)
    write_digits(tmp_path / "data", "FashionMNIST", 1, train=0, test=64)  # only what is tested
    return str(tmp_path / "data")


def as_run(monkeypatch: pytest.MonkeyPatch, folder: Path, model: Model) -> Path:
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(latent_sizes, "load", lambda run: model)
    return folder


@pytest.mark.parametrize("kind", ["gan", "autoencoder"])
def test_errors_are_those_of_the_pixels_that_cannot_be_made(
    kind: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = gan(rows=20) if kind == "gan" else autoencoder(20)
    run = as_run(monkeypatch, tmp_path / "run", model)
    found = errors(run, root, images=6, steps=120, lr=0.05)
    data = MNIST(root)
    data.setup("fit")
    train = torch.stack([data.train_set[i][0] for i in range(6)])
    held_out = torch.stack([data.validation_set[i][0] for i in range(6)])
    lost = {"train": train, "validation": held_out}
    for by in (1, 2, 4):
        moved = torch.full_like(train, -1.0)
        moved[..., by:, by:] = train[..., :-by, :-by]
        lost[f"shifted_{by}"] = moved
    for name, x in lost.items():
        expected = float(x[..., 20:, :].square().sum() / x.numel())
        assert found[name] == pytest.approx(expected, abs=1e-3), name
    # of a uniform pixel the mean square is a third
    assert found["noise"] == pytest.approx(12 / 32 / 3, abs=0.01)
    assert set(found) == {*lost, "foreign", "noise"}
    assert found["foreign"] != found["validation"]


def test_codes_in_the_shell_and_far_outside_are_told_apart(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # codes of an image x are x / gain, and draws of 1,024 elements have a norm of about 32
    data = MNIST(root)
    data.setup("fit")
    norm = torch.stack([data.train_set[i][0] for i in range(4)]).flatten(1).norm(dim=1).mean()
    for gain in (0.2, 5.0):
        run = as_run(monkeypatch, tmp_path / f"{gain}", gan(gain=gain))
        found = placements(run, root, images=4, steps=300, lr=0.05)
        assert found["train.above"] == (gain < 1)
        assert found["train.overlap"] == found["validation.overlap"] == 0
        expected = float(norm) / gain / math.sqrt(PIXELS - 0.5)
        assert found["train.ratio"] == pytest.approx(expected, rel=0.02)


def test_a_loss_that_leads_to_the_code_is_told_from_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waves(Pixels):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(torch.sin(12 * z))

    good = as_run(monkeypatch, tmp_path / "good", gan())
    assert surfaces(good, images=3, points=9) == {"descents": 1, "least": 1}
    waves = gan()
    waves.generator = Waves()
    bad = as_run(monkeypatch, tmp_path / "bad", waves)
    assert surfaces(bad, images=3, points=21)["descents"] == 0
    with pytest.raises(InputError, match="one more than a multiple of 4"):
        surfaces(bad, points=20)


def test_normal_weights_are_told_from_uniform_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = gan()
    random = torch.Generator().manual_seed(0)
    first, second = nn.Linear(100, 200), nn.Conv2d(20, 40, 5)
    nn.init.normal_(first.weight, 0.3, 0.2, generator=random)
    nn.init.uniform_(second.weight, -0.1, 0.1, generator=random)
    # neither a normalisation nor a layer of a few weights counts
    model.generator = nn.Sequential(first, nn.BatchNorm1d(200), nn.Linear(200, 1))
    found = weights(as_run(monkeypatch, tmp_path / "run", model))
    assert found["distance"] < 0.01
    assert abs(found["kurtosis"]) < 0.1
    assert found["spread"] == 1
    model.generator = nn.Sequential(first, second)
    found = weights(tmp_path / "run")
    # the largest difference of the two distributions, and the kurtosis of a uniform one
    assert found["distance"] == pytest.approx(0.057, abs=0.006)
    assert found["kurtosis"] == pytest.approx(-1.2, abs=0.05)
    assert found["spread"] == pytest.approx(0.2 * math.sqrt(12) / 0.2, rel=0.02)


def test_a_classifier_learns_from_faithful_reconstructions_and_not_from_others(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a class is a place of a bright square
    x = torch.full((60, *SHAPE), -1.0)
    y = torch.arange(60) % 10
    for image, k in zip(x, y.tolist(), strict=True):
        image[0, 3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = 1
    monkeypatch.setattr(latent_sizes, "_labelled", lambda root, shape, n, part: (x, y))
    run = as_run(monkeypatch, tmp_path / "run", autoencoder())
    found = classifier(run, root, images=60, tested=60)
    assert found["accuracy"] == found["real_accuracy"] > 90
    run = as_run(monkeypatch, tmp_path / "none", autoencoder(0))
    found = classifier(run, root, images=60, tested=60)
    assert found["accuracy"] < 30 < found["real_accuracy"]


def test_reconstructions_of_other_digits_are_not_kept(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_pixel(image: Tensor) -> Tensor:
        # class 1 if the last row is bright
        bright = image[:, 0, -1].mean(1) > -0.5
        return nn.functional.one_hot(bright.long(), 10).float()

    monkeypatch.setattr(latent_sizes, "trained_digit_classifier", lambda: first_pixel)
    whole = as_run(monkeypatch, tmp_path / "whole", autoencoder())
    assert digits(whole, root, images=6) == {"kept": 1}
    # the last row is grey instead of black
    part = as_run(monkeypatch, tmp_path / "part", autoencoder(20))
    assert digits(part, root, images=6) == {"kept": 0}


@pytest.mark.figures
def test_pictures_have_a_column_of_images_and_one_for_each_run(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = as_run(monkeypatch, tmp_path / "run", autoencoder(20))
    runs = {"one": [run], "two": [run]}
    draw_reconstructions(runs, tmp_path / "a.png", root, images=6, rows=4)
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    # images are black at the bottom, their reconstructions grey; a wider gap parts them
    row = pixels[62]  # the last but one of the first images, which are enlarged twice
    assert row[5] == 0
    assert row[-5] in (127, 128)
    with pytest.raises(InputError, match="kinds are train, validation"):
        draw_reconstructions(runs, tmp_path / "a.png", root, images=6, kind="other")
    model = gan()
    model.generator = nn.Sequential(nn.Linear(PIXELS, PIXELS), nn.Unflatten(1, SHAPE))
    gans = {"one": [as_run(monkeypatch, tmp_path / "gan", model)]}
    draw_surfaces(gans, tmp_path / "b.png", points=9)
    draw_weights(gans, tmp_path / "c.png")
    assert (tmp_path / "b.png").stat().st_size > 2000 < (tmp_path / "c.png").stat().st_size


def test_curves_by_size_have_a_point_for_each_model_and_a_curve_for_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"gan_large": 256, "gan_small": 4, "ae_small": 4, "ae_large": 256}
    made = {
        f"{name}-{seed}": GAN((2,), size) if name.startswith("gan") else Autoencoder(SHAPE, size)
        for name, size in sizes.items()
        for seed in (0, 1)
    }
    value = {name: float(number) for number, name in enumerate(made)}
    monkeypatch.setattr(latent_sizes, "load", lambda run: made[run.name])
    monkeypatch.setattr(latent_sizes, "_model", lambda run: made[run.name])
    monkeypatch.setattr(
        latent_sizes, "errors", lambda run, *_: {"train": value[run.name], "noise": -1.0}
    )
    monkeypatch.setattr(
        latent_sizes,
        "measured",
        lambda run: {
            ("fid" if run.name.startswith("gan") else "reconstruction_fid"): (
                [1.0, 2.0],
                [99.0, value[run.name]],
            )
        },
    )
    drawn: dict[str, dict[str, list[tuple[list[float], list[float]]]]] = {}
    monkeypatch.setattr(
        plots, "curve_panels", lambda panels, path, *_, **options: drawn.update(panels)
    )
    runs = {name: [tmp_path / f"{name}-0", tmp_path / f"{name}-1"] for name in sizes}
    curves = {
        kind: [
            ([4.0, 256.0], [value[f"{kind}_small-{seed}"], value[f"{kind}_large-{seed}"]])
            for seed in (0, 1)
        ]
        for kind in ("gan", "ae")
    }
    draw_errors(runs, tmp_path / "a.png", "data", kinds=("train",))
    assert drawn == {"train": {"GAN": curves["gan"], "autoencoder": curves["ae"]}}
    drawn.clear()
    draw_evaluations(runs, tmp_path / "a.png", ("fid", "reconstruction_fid"))
    assert drawn == {
        "fid, reconstruction_fid": {"fid": curves["gan"], "reconstruction_fid": curves["ae"]}
    }
    with pytest.raises(InputError, match="no images 'shifted'; kinds are train, noise"):
        draw_errors(runs, tmp_path / "a.png", "data", kinds=("shifted",))


@pytest.mark.figures
def test_curves_by_size_and_histograms_of_norms_are_drawn(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"gan": [as_run(monkeypatch, tmp_path / "run", gan())]}
    draw_errors(runs, tmp_path / "a.png", root, images=2, steps=2)
    draw_norms(runs, tmp_path / "b.png", root, images=2, steps=2)
    assert (tmp_path / "a.png").stat().st_size > 2000 < (tmp_path / "b.png").stat().st_size
