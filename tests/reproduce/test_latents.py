"""Latents that are no draws of the prior: generators and images for which the answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import linalg
from torch import Tensor, nn

from lightning_gans.data import MNIST, FashionMNIST
from lightning_gans.errors import InputError
from lightning_gans.metrics import FeatureExtractor
from lightning_gans.models import GAN
from lightning_gans.priors import Uniform
from lightning_gans.reproduce import latents
from lightning_gans.reproduce.latents import (
    circles,
    draw_circle,
    draw_samples,
    draw_sums,
    embedding,
    foreign,
    other_latents,
)
from lightning_gans.rng import stream
from tests.support.idx import write_digits
from tests.support.rounds import TinyDiscriminator

Floats = npt.NDArray[np.float64]
RUN = Path("run")
RUNS = {"gan": [RUN]}
DIM, SIDE = 16, 28
IMAGES = 60


class Corner(nn.Module):
    """A black image of 28 × 28 whose first 16 pixels are half the elements of the latent."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor) -> Tensor:
        x = torch.zeros(len(z), SIDE**2)
        x[:, :DIM] = self.anchor * z / 2
        return x.view(-1, 1, SIDE, SIDE)


class Pixels(FeatureExtractor):
    """Four pixels of the first row inside the border, from as many blocks, are the features."""

    name, num_features = "pixels", 4

    def _load(self, device: torch.device) -> None:
        pass

    def _extract(self, images: Tensor) -> Tensor:
        border = (images.shape[-1] - SIDE) // 2
        return images[:, 0, border, border : border + DIM : 4].float()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> GAN:
    made = GAN((1, SIDE, SIDE), DIM, Corner, TinyDiscriminator, prior=Uniform).eval()
    monkeypatch.setattr(latents, "load", lambda run: made)
    return made


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DigitFeatures", "InceptionFeatures", "RandomFeatures"):
        monkeypatch.setattr(latents, name, Pixels)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("digits")
    for seed, name in enumerate(("MNIST", "FashionMNIST")):
        write_digits(folder, name, seed, train=8, test=IMAGES + 7)
    return str(folder)


def grey(x: Tensor) -> Floats:
    """The same pixels of images of 28 × 28 in [-1, 1], as levels of grey."""
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round()
    return levels[:, 0, 0, :DIM:4].double().numpy()


def frechet(
    x: Floats,
    y: Floats,
) -> float:
    """By scipy's square root of a matrix."""
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


def on_manifold(
    fake: Floats,
    real: Floats,
) -> float:
    """The share of fakes within the distance of a real image to its third neighbour."""
    radius = np.sort(np.linalg.norm(real[:, None] - real, axis=2))[:, 3]
    return float((np.linalg.norm(fake[:, None] - real, axis=2) <= radius).any(1).mean())


def digits_of(root: str, kind: type[MNIST] | type[FashionMNIST]) -> Tensor:
    data = kind(root, padding=0)
    data.setup("predict")
    return torch.stack([data.validation_set[i][0] for i in range(IMAGES)])


@pytest.mark.usefixtures("pixels")
def test_images_of_other_latents_are_compared_as_by_scipy(model: GAN, root: str) -> None:
    found = other_latents(RUN, root, IMAGES, bound=3)
    real = grey(digits_of(root, MNIST))
    draws = {
        "own": Corner(DIM, ())(Uniform(DIM).sample(IMAGES, stream("latents", 0))),
        "other": Corner(DIM, ())(Uniform(DIM, -3, 3).sample(IMAGES, stream("latents", 0))),
        "foreign": digits_of(root, FashionMNIST),
    }
    for name, x in draws.items():
        fake = grey(x.detach())
        assert found[f"{name}.fid.digits"] == pytest.approx(frechet(real, fake), rel=1e-4)
        assert found[f"{name}.precision"] == pytest.approx(on_manifold(fake, real))
    assert len(found) == 6


@pytest.mark.usefixtures("pixels")
def test_images_of_another_data_set_are_foreign(root: str) -> None:
    expected = frechet(*(grey(digits_of(root, kind)) for kind in (MNIST, FashionMNIST)))
    assert foreign(root, IMAGES)["foreign.fid.digits"] == pytest.approx(expected, rel=1e-4)


def test_sums_of_vectors_of_a_linear_generator_add_up(model: GAN) -> None:
    found = embedding(RUN, pairs=20)
    assert found["explained"] == pytest.approx(1)
    assert found["to_parts"] == pytest.approx(0.5 / SIDE, rel=1e-5)
    assert found["to_others"] == pytest.approx(0.5 * math.sqrt(3) / SIDE, rel=1e-5)


@pytest.mark.usefixtures("pixels")
def test_paths_of_a_linear_generator_have_known_lengths(model: GAN) -> None:
    """Images are as far apart as their codes, as no pixel is cut off."""
    n, steps = 400, 60
    found = circles(RUN, n, steps)
    one, two, three = (Uniform(DIM).sample(n, stream(f"draws {i}", 0)) for i in range(3))
    apart = float((one - two).norm(dim=1).mean())
    radius = float(one[::10].norm(dim=1).mean())
    assert found["step"] == pytest.approx(2 * math.sin(math.pi / steps) * radius / apart, rel=1e-3)
    assert found["turn"] == pytest.approx(2 * radius / apart, rel=1e-3)
    middle = (one + two) / 2
    norm = float(three.norm(dim=1).mean())
    assert found["linear.norm"] == pytest.approx(float(middle.norm(dim=1).mean()) / norm)
    assert found["slerp.norm"] == pytest.approx(1, abs=0.03)
    expected = frechet(*(grey(Corner(DIM, ())(z).detach()) for z in (three, middle)))
    assert found["linear.fid.digits"] == pytest.approx(expected, rel=1e-3)
    assert found["slerp.fid.digits"] < found["linear.fid.digits"] / 5


class Jump(Corner):
    """White where the first element is positive, otherwise black."""

    def forward(self, z: Tensor) -> Tensor:
        return z[:, 0].sign().view(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)


@pytest.mark.usefixtures("pixels")
def test_the_largest_change_on_a_circle_is_found_where_all_others_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jump = GAN((1, SIDE, SIDE), DIM, Jump, TinyDiscriminator, prior=Uniform).eval()
    monkeypatch.setattr(latents, "load", lambda run: jump)
    found = circles(RUN, 200, 16)
    one, two = (Uniform(DIM).sample(200, stream(f"draws {i}", 0))[:, 0].sign() for i in range(2))
    assert found["step"] == pytest.approx(2 / float((one - two).abs().mean()))


def shown(path: Path, columns: int) -> Tensor:
    """The first 16 pixels of each image of a sheet, (rows, columns, 16), in [-1, 1]."""
    factor, gap = 2, 2
    sheet = np.asarray(Image.open(path).convert("L")).astype(np.float32)
    cell = factor * SIDE + gap
    rows = (sheet.shape[0] - gap) // cell
    assert (sheet.shape[1] - gap) // cell == columns
    tops, lefts = (range(gap, gap + n * cell, cell) for n in (rows, columns))
    values = [
        [sheet[top, left : left + factor * DIM : factor] / 127.5 - 1 for left in lefts]
        for top in tops
    ]
    return torch.from_numpy(np.array(values))


def test_samples_are_images_of_draws_or_of_the_other_latents(model: GAN) -> None:
    for bound, prior in ((0.0, Uniform(DIM)), (10.0, Uniform(DIM, -10, 10))):
        draw_samples(RUNS, Path("samples.png"), bound, images=12, columns=6)
        expected = (prior.sample(12, stream("latents", 0)) / 2).clamp(-1, 1).view(2, 6, DIM)
        torch.testing.assert_close(shown(Path("samples.png"), 6), expected, rtol=0, atol=0.005)


def test_rows_of_sums_are_two_vectors_and_their_sum(model: GAN) -> None:
    draw_sums(RUNS, Path("sums.png"), rows=3)
    found = shown(Path("sums.png"), 3)
    expected = torch.zeros(3, 3, DIM)
    for row in range(3):
        expected[row, 0, 2 * row] = expected[row, 1, 2 * row + 1] = 0.5
    expected[:, 2] = expected[:, 0] + expected[:, 1]
    torch.testing.assert_close(found, expected, rtol=0, atol=0.005)


def test_a_circle_begins_with_a_draw_and_is_at_its_opposite_halfway(model: GAN) -> None:
    draw_circle(RUNS, Path("circle.png"), images=24, columns=12)
    found = shown(Path("circle.png"), 12)
    first = Uniform(DIM).sample(2, stream("circle", 0))[0] / 2
    torch.testing.assert_close(found[0, 0], first, rtol=0, atol=0.005)
    torch.testing.assert_close(found[1], -found[0], rtol=0, atol=0.01)
    assert (found[0, 1] - found[1, 11]).abs().max() > 0.05  # two ways round


def test_a_model_that_makes_no_images_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latents, "load", lambda run: nn.Linear(1, 1))
    with pytest.raises(InputError, match="run: expected a GAN of images, got Linear"):
        embedding(RUN)
