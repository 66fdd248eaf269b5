"""Scores of a trained model against plain formulas of the outputs of its networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from lightning_gans.data.tensors import TensorImages, to_signed
from lightning_gans.errors import InputError, UserError
from lightning_gans.models import (
    ACGAN,
    DLSGAN,
    GAN,
    VAEGAN,
    Autoencoder,
    Classifier,
    Encoder,
    InfoGAN,
)
from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.ood import score_all, scorer
from lightning_gans.priors import Normal as Standard
from lightning_gans.priors import Traced

SHAPE = (1, 16, 16)


def images(n: int = 9, seed: int = 0) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


V = torch.tensor([0.1, 0.4, 0.9, 1.0, 0.02, 0.5])
M = TypeVar("M", DLSGAN, InfoGAN)


def traced(kind: type[M]) -> M:
    """A model of which every element of v is another."""
    torch.manual_seed(1)
    model = kind(SHAPE, latent_dim=6)
    model.eval()
    assert isinstance(model.prior, Traced)
    model.prior.v.copy_(V)
    return model


class Louder(nn.Module):
    """A generator whose images leave [-1, 1]."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.generator(z)
        return 40 * y


@torch.no_grad()
def test_scores_of_codes_are_plain_formulas() -> None:
    model, x = traced(DLSGAN), images()
    model.generator = Louder(model.generator)
    code = model.discriminator(x).code
    density = Normal(torch.zeros(6), V.sqrt())
    s = (6 * V / V.sum()).sqrt()
    y = model.generator(code * s)
    assert y.abs().max() > 1.5
    made = scorer(model)
    assert made.names == ("nll", "typicality", "reconstruction")
    found = made(x)
    assert tuple(found) == made.names
    assert all(values.shape == (9,) for values in found.values())
    nll = -density.log_prob(code).sum(1)
    torch.testing.assert_close(found["nll"], nll)
    torch.testing.assert_close(found["typicality"], (nll - density.entropy().sum()).abs())
    torch.testing.assert_close(found["reconstruction"], ((x - y) ** 2).mean((1, 2, 3)))
    again = scorer(model, ("feature_error",))(x)
    difference = model.discriminator(x).features - model.discriminator(y).features
    assert list(again) == ["feature_error"]
    torch.testing.assert_close(again["feature_error"], (difference**2).mean(1))


def test_ood_score_of_the_model_is_its_nll() -> None:
    x = images()
    models: list[DLSGAN | InfoGAN] = [traced(DLSGAN), traced(InfoGAN)]
    for model in models:
        assert torch.equal(scorer(model)(x)["nll"], model.ood_score(x))


@torch.no_grad()
def test_infogan_predicts_a_variance() -> None:
    model, x = traced(InfoGAN), images()
    made = scorer(model)
    assert made.names == ("nll", "typicality", "nll_own", "reconstruction")
    mean, log_variance = model.discriminator(x).code.chunk(2, 1)
    own = Normal(torch.zeros(()), (log_variance.exp() + model.floor).sqrt())
    traced_v = Normal(torch.zeros(6), V.sqrt())
    found = made(x)
    torch.testing.assert_close(found["nll_own"], -own.log_prob(mean).sum(1))
    torch.testing.assert_close(found["nll"], -traced_v.log_prob(mean).sum(1))
    y = model.generator(mean)  # not scaled
    torch.testing.assert_close(found["reconstruction"], ((x - y) ** 2).mean((1, 2, 3)))


@torch.no_grad()
def test_models_without_a_traced_variance_reconstruct() -> None:
    torch.manual_seed(2)
    x = images()
    auto, vae = Autoencoder(SHAPE, latent_dim=6).eval(), VAEGAN(SHAPE, latent_dim=6).eval()
    encoder = Encoder(traced(DLSGAN), SHAPE).eval()
    untraced = DLSGAN(SHAPE, latent_dim=6, prior=Standard).eval()
    codes: dict[Autoencoder | VAEGAN | Encoder | DLSGAN, Tensor] = {
        auto: auto.encoder(x).code,
        vae: vae.encoder(x).code[:, :6],
        # its prior traces a variance, but of another network's codes
        encoder: encoder.encoder(x).code * encoder.prior.scale(),
        untraced: untraced.discriminator(x).code,
    }
    for model, code in codes.items():
        made = scorer(model)
        assert made.names == ("reconstruction",)
        expected = ((x - model.generator(code)) ** 2).mean((1, 2, 3))
        torch.testing.assert_close(made(x)["reconstruction"], expected)
        with pytest.raises(InputError, match=r"has no score 'nll'; it has reconstruction"):
            scorer(model, ("nll",))


@torch.no_grad()
def test_a_classifier_learns_thresholds_from_training_images() -> None:
    torch.manual_seed(3)
    model, x, training = Classifier(SHAPE, (10,), num_features=12).eval(), images(), images(40, 5)
    made = scorer(model)
    plain = ("softmax", "energy(t=1)", "energy(t=10)")
    assert made.percentiles == (0.85, 0.9, 0.95, 1)
    assert made.names == plain
    features = model.backbone(x).code.relu()
    logits = model.head(features)
    before = made(x)
    torch.testing.assert_close(before["softmax"], 1 - logits.softmax(1).max(1).values)
    for t in (1, 10):
        energy = -t * (logits / t).exp().sum(1).log()
        torch.testing.assert_close(before[f"energy(t={t})"], energy)

    asked = scorer(model, ("energy(t=1,p=0.9)",))
    with pytest.raises(InputError, match=r"^energy\(t=1,p=0\.9\) clips .* fit\(\) first$"):
        asked(x)

    made.fit(torch.split(training, 7))
    known = np.sort(model.backbone(training).code.relu().numpy().ravel())
    assert made.names[:3] == plain
    assert len(made.names) == 3 + 2 * 4
    after = made(x)
    for name in plain:
        assert torch.equal(after[name], before[name])
    for p in (0.85, 0.9, 0.95, 1):
        place = p * (len(known) - 1)
        low, high = known[int(place)], known[min(int(place) + 1, len(known) - 1)]
        threshold = float(low + (place - int(place)) * (high - low))
        clipped = model.head(features.clamp(max=threshold))
        for t in (1, 10):
            energy = -t * (clipped / t).exp().sum(1).log()
            torch.testing.assert_close(after[f"energy(t={t},p={p})"], energy)
    with pytest.raises(InputError, match="got none"):
        made.fit([])


@torch.no_grad()
def test_logits_of_several_labels_count_label_by_label() -> None:
    torch.manual_seed(4)
    model, x = Classifier(SHAPE, (2, 3), num_features=8).eval(), images()
    logits = model.class_logits(x)
    first, second = logits[:, :2], logits[:, 2:]
    found = scorer(model)(x)
    energy = -first.exp().sum(1).log() - second.exp().sum(1).log()
    torch.testing.assert_close(found["energy(t=1)"], energy)
    best = first.softmax(1).max(1).values + second.softmax(1).max(1).values
    torch.testing.assert_close(found["softmax"], 1 - best / 2)


@torch.no_grad()
@pytest.mark.parametrize("t", [1, 10])
def test_binary_attributes_have_one_logit_each_as_in_the_published_energy(t: int) -> None:
    torch.manual_seed(4)
    model, x = Classifier(SHAPE, (2,) * 5, num_features=8).eval(), images()
    # the published classifier's logit of an attribute: its sigmoid is the probability to have it
    has = torch.unflatten(model.class_logits(x), 1, (5, 2)).softmax(2)[..., 1]
    logits = has.log() - (1 - has).log()
    energy = -t * (logits / t).exp().sum(1).log()
    made = scorer(model)
    made.fit([x])  # no feature of these images is above the highest of them
    found = made(x)
    torch.testing.assert_close(found[f"energy(t={t})"], energy, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[f"energy(t={t},p=1)"], energy, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_one_binary_label_has_the_energy_of_two_classes() -> None:
    torch.manual_seed(4)
    model, x = Classifier(SHAPE, (2,), num_features=8).eval(), images()
    energy = -model.class_logits(x).exp().sum(1).log()
    torch.testing.assert_close(scorer(model)(x)["energy(t=1)"], energy)


def test_class_conditional_models_score_by_their_logits() -> None:
    torch.manual_seed(5)
    model = ACGAN(SHAPE, (10,), latent_dim=4).eval()
    made = scorer(model)
    assert made.names == ("softmax", "energy(t=1)", "energy(t=10)")
    assert not made.percentiles
    with torch.no_grad():
        energy = -model.class_logits(images()).logsumexp(1)
    torch.testing.assert_close(made(images())["energy(t=1)"], energy)


@pytest.mark.parametrize(
    ("names", "encoder", "generator"),
    [
        (("nll",), 1, 0),
        (("nll", "typicality"), 1, 0),
        (None, 1, 1),
        (("nll", "reconstruction", "feature_error"), 2, 1),
    ],
)
def test_each_network_looks_once(
    names: tuple[str, ...] | None, encoder: int, generator: int
) -> None:
    model = traced(DLSGAN)
    calls = {"encoder": 0, "generator": 0}

    def count(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    model.discriminator.register_forward_hook(count("encoder"))
    model.generator.register_forward_hook(count("generator"))
    scorer(model, names)(images())
    assert calls == {"encoder": encoder, "generator": generator}


class Forgetful(nn.Module):
    """An encoder that drops half of its code in training."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.drop = network, nn.Dropout()

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        seen: DiscriminatorOutput = self.network(x)
        return seen._replace(code=self.drop(seen.code))


def test_a_model_in_training_is_scored_as_in_evaluation() -> None:
    model, x = traced(DLSGAN), images()
    model.discriminator = Forgetful(model.discriminator)
    expected = scorer(model.eval())(x)
    model.train()
    found = scorer(model)(x)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert model.training
    assert all(p.requires_grad for p in model.discriminator.parameters())
    assert not found["reconstruction"].requires_grad


def test_a_model_without_scores_is_named() -> None:
    with pytest.raises(UserError, match=r"^a GAN has no OOD score: it neither encodes nor"):
        scorer(GAN(SHAPE, latent_dim=4))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 32, 32), r"of shape \(n, 1, 16, 16\), got \(2, 1, 32, 32\)"),
        (torch.full((2, *SHAPE), 2.0), r"in \[-1, 1\]"),
        (torch.full((2, *SHAPE), torch.nan), r"NaN"),
    ],
)
def test_what_is_no_image_is_refused(x: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scorer(traced(DLSGAN), ("nll",))(x)


def test_all_images_of_a_dataset_in_order() -> None:
    model = traced(DLSGAN)
    pixels = torch.randint(0, 256, (11, *SHAPE), generator=torch.Generator().manual_seed(0))
    data = TensorImages(pixels.to(torch.uint8), torch.zeros(11).long())
    expected = scorer(model)(to_signed(data.images))
    state = torch.get_rng_state()
    found = score_all(scorer(model), data, batch_size=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)
    nothing = TensorImages(data.images[:0], torch.zeros(0).long())
    with pytest.raises(InputError, match="got none"):
        score_all(scorer(model), nothing)
