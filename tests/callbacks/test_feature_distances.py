"""Distances of classes and of reconstructions are those that scipy finds of their features."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.callbacks.measurements import (
    ClassDistance,
    EvaluationBatch,
    ReconstructionDistance,
)
from lightning_gans.data import Gaussians
from lightning_gans.metrics import FeatureExtractor, to_uint8
from lightning_gans.models import CAGAN, GAN, Autoencoder, Model

SHAPE = (1, 16, 16)
N = 60


class Blocks(FeatureExtractor):
    """Means of sixteen squares."""

    name = "blocks"
    num_features = 16

    def _load(self, device: torch.device) -> None:
        pass

    def _extract(self, images: Tensor) -> Tensor:
        return avg_pool2d(images.float(), 4).flatten(1)


class Labelled(Gaussians):
    """Data of three classes, of which only that number matters here."""

    classes = (3,)


class Linear(torch.nn.Module):
    """Any network of one layer, from (latent, condition) to images."""

    def __init__(
        self, latent_dim: int, image_shape: tuple[int, ...], classes: tuple[int, ...] = ()
    ):
        super().__init__()
        self.layer = torch.nn.Linear(latent_dim + sum(classes), 256)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        image: Tensor = self.layer(z if c is None else torch.cat([z, c], 1))
        return image.view(-1, *SHAPE).tanh()


def frechet(real: Tensor, fake: Tensor) -> float:
    """The distance of the blocks of two samples of images, by scipy."""
    a, b = (avg_pool2d(to_uint8(p).float(), 4).flatten(1).double().numpy() for p in (real, fake))
    s, t = np.cov(a.T), np.cov(b.T)
    root = sqrtm(s @ t).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * root))


def real_images() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    y = torch.arange(N) % 3
    x = 0.3 * torch.randn(N, *SHAPE, generator=random) + 0.2 * y.view(-1, 1, 1, 1)
    return x.clamp(-1, 1), y


def batches(model: Model, parts: int = 3) -> list[EvaluationBatch]:
    """The images in several batches, with the latents of each."""
    categories = getattr(model, "categories", None)
    draws = FixedDraws(model.prior, categories, "cpu")
    x, y = real_images()
    rows = torch.arange(N).chunk(parts)
    return [
        EvaluationBatch(model, x[r], y[r], range(int(r[0]), int(r[-1]) + 1), draws) for r in rows
    ]


def test_each_class_is_compared_with_the_fakes_of_its_condition() -> None:
    torch.manual_seed(1)
    model = CAGAN(SHAPE, (3,), latent_dim=5, generator=Linear).eval()
    measurement, data = ClassDistance(Blocks()), Labelled()
    assert measurement.applies_to(model, data)
    measurement.start(model, data, complete=True)
    with torch.no_grad():
        for batch in batches(model):
            measurement.update(batch)
        found = {name: float(value) for name, value in measurement.results().items()}
        x, y = real_images()
        z, c = FixedDraws(model.prior, model.categories, "cpu").take(range(N))
        fakes = model.decode(z, c)
    expected = [frechet(x[y == k], fakes[c.argmax(1) == k]) for k in range(3)]
    assert [found[f"class_fid_{k}/blocks"] for k in range(3)] == pytest.approx(expected, rel=1e-6)
    assert found["class_fid/blocks"] == pytest.approx(sum(expected) / 3, rel=1e-6)
    assert len(found) == 4


def test_a_class_of_which_there_is_one_image_is_left_out_with_a_warning() -> None:
    torch.manual_seed(1)
    model = CAGAN(SHAPE, (3,), latent_dim=5, generator=Linear).eval()
    measurement, data = ClassDistance(Blocks()), Labelled()
    x, y = real_images()
    assert measurement.applies_to(model, data)
    y = torch.where((y == 2) & (torch.arange(N) > 2), 0, y)
    measurement.start(model, data, complete=True)
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draws = FixedDraws(model.prior, model.categories, "cpu")
        measurement.update(EvaluationBatch(model, x, y, range(N), draws))
        found = measurement.results()
    assert set(found) == {"class_fid/blocks", "class_fid_0/blocks", "class_fid_1/blocks"}
    both = [found[f"class_fid_{k}/blocks"] for k in range(2)]
    assert torch.equal(found["class_fid/blocks"], torch.stack(both).mean())
    assert ["class 2" in str(w.message) for w in caught] == [True]


def test_classes_of_models_without_conditions_are_not_measured() -> None:
    assert not ClassDistance(Blocks()).applies_to(
        GAN(SHAPE, latent_dim=5, generator=Linear), Labelled()
    )


def test_reconstructions_of_an_autoencoder_are_compared_with_its_images() -> None:
    torch.manual_seed(2)
    model = Autoencoder(SHAPE, latent_dim=3).eval()
    x = torch.rand(40, *SHAPE) * 2 - 1
    measurement = ReconstructionDistance(Blocks())
    assert measurement.applies_to(model, None)
    assert not measurement.applies_to(GAN(SHAPE, latent_dim=5, generator=Linear), None)
    measurement.start(model, None, complete=True)
    with torch.no_grad():
        for first in (0, 15):
            part = x[first : 15 if first == 0 else 40]
            rows = range(first, first + len(part))
            measurement.update(EvaluationBatch(model, part, torch.zeros(len(part)), rows, None))
        expected = frechet(x, model.reconstruct(x))
    found = float(measurement.results()["reconstruction_fid/blocks"])
    # codes of three elements: the covariance is singular, of which scipy's root has an error
    assert found == pytest.approx(expected, rel=1e-3)
