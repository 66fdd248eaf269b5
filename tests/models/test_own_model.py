"""A user's own model is evaluated, inverted and scored because of the capabilities it has."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.callbacks import Evaluation
from lightning_gans.errors import UserError
from lightning_gans.inversion import Scaled, recover
from lightning_gans.models import (
    Clusters,
    Encoding,
    Generates,
    Model,
    NotCapable,
    Reconstructs,
    ScoresOOD,
    capability,
)
from lightning_gans.models.base import Batch
from lightning_gans.ood import scorer
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import FixedScale
from tests.support.features import NoSSIM
from tests.support.rounds import SHAPE, TinyGenerator, one_by_one, trainer

LATENT = 3
SSIM = "lightning_gans.callbacks.measurements.reconstruction_quality.SSIM"


class Regression(Model, Generates, Reconstructs, ScoresOOD):
    """A linear encoder of a generator's images, with a variance."""

    players = ("regression",)

    def __init__(self) -> None:
        super().__init__(AdamW)
        self.image_shape = SHAPE
        self.prior = FixedScale(LATENT)
        self.generator = TinyGenerator(LATENT, SHAPE)
        self.linear = nn.Linear(16, LATENT)
        self.logs = nn.Parameter(torch.zeros(LATENT))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        z = self.prior.sample(len(batch[0]), self.random)
        with self.turn("regression") as minimize:
            code = self.encoding(self.generator(z)).code
            minimize(latent=(z - code).square().mean())
        self.prior.update(code)

    def encoding(self, x: Tensor) -> Encoding:
        features = x.flatten(1)
        code = self.linear(features)
        return Encoding(code, features, self.logs.exp().expand_as(code))

    @capability
    def brightness(self, x: Tensor) -> Tensor:
        """The mean of each image, (n,)."""
        return x.flatten(1).mean(1)


@pytest.fixture
def model() -> Regression:
    torch.manual_seed(0)
    return Regression().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.rand((20, *SHAPE), generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_its_capabilities_are_those_of_its_classes_and_its_own(model: Regression) -> None:
    expected = ("generate", "decode", "encode", "reconstruct", "ood_score", "brightness")
    assert model.capabilities == expected
    assert not model.brightness(torch.ones(2, *SHAPE, requires_grad=True)).requires_grad


def test_it_is_trained_and_evaluated(
    model: Regression, x: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SSIM, NoSSIM)  # these images are too small for it
    runner = trainer(default_root_dir=tmp_path, callbacks=[Evaluation()])
    batches = one_by_one([(x[:10], torch.zeros(10)), (x[10:], torch.zeros(10))])
    runner.fit(model, batches, batches)
    measured = runner.validate(model, batches, verbose=False)[0]
    assert {"latent/loss", "latent/entropy", "psnr/real", "psnr/fake"} <= set(measured)


def test_it_is_inverted(model: Regression, x: Tensor) -> None:
    generator = Scaled(model.generator, model.prior.scale())
    recovery = recover(generator, x[:2], model.prior, steps=5, restarts=2)
    assert recovery.codes.shape == (2, LATENT)


def test_it_is_scored(model: Regression, x: Tensor) -> None:
    scores = scorer(model)(x)
    assert {"nll", "typicality", "reconstruction"} <= set(scores)
    torch.testing.assert_close(scores["nll"], model.ood_score(x))


def test_what_it_does_not_support_is_refused_in_one_line(model: Regression) -> None:
    assert not isinstance(model, Clusters)
    assert not hasattr(model, "cluster")
    assert getattr(model, "class_logits", None) is None
    expected = r"^Regression does not support cluster\(\); it supports generate\(\), decode\(\), "
    with pytest.raises(NotCapable, match=expected) as caught:
        model.cluster  # noqa: B018  (asking is enough)
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        model.nothing  # noqa: B018


def test_it_is_copied_and_pickled(model: Regression, x: Tensor) -> None:
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other.encode(x), model.encode(x))


def test_an_abstract_capability_must_be_filled_in() -> None:
    class Unfinished(Model, Reconstructs):
        players = ("nobody",)

    with pytest.raises(TypeError, match=r"abstract method '?encoding"):
        Unfinished()  # type: ignore[abstract]  # which is what is tested
