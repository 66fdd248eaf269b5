"""Training on augmented images: what the discriminator sees, and what the encoder does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim import SGD

from lightning_gans.augmentation import Augmentation, DiffAugment
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    VAEGAN,
    AdversarialModule,
    CategoricalInfoGAN,
    InfoGAN,
)
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.rng import stream
from lightning_gans.runs.metrics_csv import MetricsCSV
from tests.support.diffaugment import plainly
from tests.support.models import tiny_dlsgan
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    assert_same,
    batches,
    descend,
    one_by_one,
    train,
    trainer,
)


def changed(x: Tensor, random: torch.Generator) -> Tensor:
    """A batch in which each image is changed by its own 7 numbers."""
    u = torch.rand(len(x), 7, generator=random)
    return torch.stack([plainly(*pair) for pair in zip(x, u, strict=True)])


def penalty(score: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return (gradient**2).sum((1, 2, 3)).mean()


def test_two_rounds_of_dlsgan_score_changed_images_and_encode_the_fakes_themselves() -> None:
    model, data = tiny_dlsgan(augmentation=DiffAugment).double(), batches(2)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    v, random = torch.full((LATENT,), 1e-4).double(), stream("training")
    for iteration, batch in enumerate(data):
        changes = stream(f"augmentation/{iteration}")
        x = batch.clone().requires_grad_()
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        s = (LATENT * v).sqrt() / v.sqrt().norm()
        y = generator(z * s).detach()
        a_r, a_f = (discriminator(changed(part, changes)).score for part in (x, y))
        z_1 = discriminator(y).code
        l_enc = (((z - z_1) * s) ** 2).mean()
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean()
        # the penalty is of the score of T(x) by x
        loss = l_adv + 0.7 * penalty(a_r, x) + 1.3 * l_enc
        descend(list(discriminator.parameters()), loss)
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        y = generator(z * s)
        a_f, z_2 = discriminator(changed(y, changes)).score, discriminator(y).code
        l_enc = (((z - z_2) * s) ** 2).mean()
        descend(list(generator.parameters()), softplus(-a_f).mean() + 1.3 * l_enc)
        v = 0.9 * v + 0.1 * torch.cat([z_1, z_2]).detach().square().mean(0)
    reference.prior.v.copy_(v)  # type: ignore[operator]  # a buffer

    assert_same(model, reference)


def test_two_rounds_of_a_gan_with_all_penalties_are_of_changed_images() -> None:
    torch.manual_seed(1)
    model = GAN(
        SHAPE,
        LATENT,
        TinyGenerator,
        TinyDiscriminator,
        optimizer=DESCENT,
        r1=0.7,
        r2=0.4,
        penalty=0.3,
        augmentation=DiffAugment,
    ).double()
    data = batches(2)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    random = stream("training")
    for iteration, batch in enumerate(data):
        changes = stream(f"augmentation/{iteration}")
        x, n = batch.clone().requires_grad_(), len(batch)
        z = torch.randn(n, LATENT, generator=random, dtype=torch.float64)
        y = generator(z).detach().requires_grad_()
        a_r, a_f = (discriminator(changed(part, changes)).score for part in (x, y))
        share = torch.rand(n, generator=random, dtype=torch.float64).view(-1, 1, 1, 1)
        between = (share * x + (1 - share) * y).detach().requires_grad_()
        a_b = discriminator(changed(between, changes)).score
        (slope,) = torch.autograd.grad(a_b.sum(), between, create_graph=True)
        wgan_gp = ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = softplus(-a_r).mean() + softplus(a_f).mean() + 0.3 * wgan_gp
        loss = loss + 0.7 * penalty(a_r, x) + 0.4 * penalty(a_f, y)
        descend(list(discriminator.parameters()), loss)
        z = torch.randn(n, LATENT, generator=random, dtype=torch.float64)
        a_f = discriminator(changed(generator(z), changes)).score
        descend(list(generator.parameters()), softplus(-a_f).mean())

    assert_same(model, reference)


class Erase(Augmentation):
    """Nothing is left of an image: what still reacts to it has seen it as it is."""

    draws = 1

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        return x * 0


NETWORKS: dict[str, Any] = {
    "latent_dim": LATENT,
    "generator": partial(MLPGenerator, width=8, depth=1),
    "discriminator": partial(MLPDiscriminator, width=8, depth=1),
}
LABELLED: dict[str, Any] = {**NETWORKS, "classes": (3,)}
FOUND: dict[str, Any] = {**NETWORKS, "num_categories": 3}
# a model, its arguments, and the weights of all its losses but the adversarial one
Game = tuple[Callable[..., AdversarialModule], dict[str, Any], tuple[str, ...]]
GAMES: dict[str, Game] = {
    "GAN": (GAN, NETWORKS, ()),
    "DLSGAN": (DLSGAN, NETWORKS, ("latent",)),
    "InfoGAN": (InfoGAN, NETWORKS, ("latent",)),
    "PVDGAN": (PVDGAN, NETWORKS, ("latent", "reconstruction")),
    "VAEGAN": (VAEGAN, NETWORKS, ("reconstruction", "regularization")),
    "AEDLSGAN": (AEDLSGAN, LABELLED, ("latent",)),
    "CAGAN": (CAGAN, LABELLED, ()),
    "ACGAN": (ACGAN, LABELLED, ("classification", "classification_real", "classification_fake")),
    "CGPGAN": (CGPGAN, FOUND, ("classification", "classifier_penalty")),
    "CategoricalInfoGAN": (CategoricalInfoGAN, FOUND, ("classification",)),
}


def fit(model: AdversarialModule, folder: Path | None = None) -> None:
    y = torch.tensor([0, 1, 2, 2, 1, 0])
    pairs = [(x.float(), y) for x in batches(1)]
    logger = MetricsCSV(str(folder)) if folder else False
    trainer(max_steps=1, logger=logger, log_every_n_steps=1).fit(model, one_by_one(pairs))


@pytest.mark.parametrize("name", GAMES)
def test_no_player_scores_an_image_that_is_not_changed(name: str) -> None:
    model, arguments, weights = GAMES[name]
    others = dict.fromkeys(weights, 0.0)
    made = model(SHAPE, **arguments, **others, optimizer=SGD, augmentation=Erase)
    before = copy.deepcopy(made.state_dict())
    fit(made)
    # without an image there is a bias to learn, and nothing else
    first = next(key for key, p in made.discriminator.named_parameters() if p.ndim == 2)
    still = [key for key in before if key.startswith("generator.")]
    for key in (f"discriminator.{first}", *still):
        assert torch.equal(made.state_dict()[key], before[key]), key


# the classifier of an ACGAN learns from the few images, as its score does
ENCODING = [name for name, (_, _, weights) in GAMES.items() if weights and name != "ACGAN"]


@pytest.mark.parametrize("name", ENCODING)
def test_codes_and_features_are_those_of_images_that_are_not_changed(
    name: str, tmp_path: Path
) -> None:
    model, arguments, weights = GAMES[name]
    logged = []
    for change in ({}, {"augmentation": Erase}):
        torch.manual_seed(2)
        frozen = partial(SGD, lr=0.0)
        made = model(SHAPE, **arguments, optimizer=frozen, **change)
        folder = tmp_path / f"{len(change)}"
        fit(made, folder)
        header, row = (folder / "metrics.csv").read_text().splitlines()[:2]
        values = dict(zip(header.split(","), row.split(","), strict=True))
        logged.append({k: v for k, v in values.items() if k.partition("/")[2] in weights})
    assert len(logged[0]) >= len(weights)
    assert logged[0] == logged[1]


def test_a_run_that_resumes_draws_the_changes_of_one_that_was_not_stopped(tmp_path: Path) -> None:
    make = partial(tiny_dlsgan, augmentation=DiffAugment)
    (x,) = batches(1)
    data = one_by_one([(x.float(), torch.zeros(len(x), dtype=torch.long))] * 4)
    whole, begun, resumed = make(), make(), make()
    trainer(max_steps=4).fit(whole, data)
    first = trainer(max_steps=2)
    first.fit(begun, data)
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(max_steps=4, max_epochs=-1).fit(resumed, data, ckpt_path=tmp_path / "half.ckpt")
    assert all(
        torch.equal(value, resumed.state_dict()[n]) for n, value in whole.state_dict().items()
    )


class Remember(Augmentation):
    """Keeps the numbers that it is given."""

    draws = 2

    def __init__(self) -> None:
        self.drawn: list[Tensor] = []

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        self.drawn.append(u)
        return x


def test_images_fakes_turns_iterations_and_seeds_are_changed_differently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    for seed in ("0", "0", "1"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        model = tiny_dlsgan(augmentation=Remember)
        train(model, batches(2))
        assert isinstance(model.augmentation, Remember)
        found.append(torch.cat(model.augmentation.drawn).flatten().tolist())
    # 2 iterations of 3 batches
    assert len(set(found[0])) == 2 * 3 * 6 * 2
    assert found[0] == found[1]
    assert not set(found[0]) & set(found[2])


def test_the_latents_of_a_run_do_not_depend_on_its_augmentation() -> None:
    plain, watched = tiny_dlsgan().double(), tiny_dlsgan(augmentation=Remember).double()
    for model in (plain, watched):
        train(model, batches(2))
    assert_same(watched, plain)
