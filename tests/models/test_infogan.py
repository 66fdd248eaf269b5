"""InfoGAN and MSEGAN, whose latent is not scaled, against Eq. 15-18 of the thesis."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from lightning_gans.models import DLSGAN, AdversarialModule, InfoGAN
from lightning_gans.priors import FixedScale
from lightning_gans.rng import stream
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    assert_same,
    batches,
    descend,
    train,
)


def tiny(model: type[InfoGAN] | type[DLSGAN], **options: object) -> AdversarialModule:
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "prior": partial(FixedScale, decay=0.9, start=0.3),
        "r1": 0.7,
        "latent": 1.3,
    }
    return model(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given


def r1(score: Tensor, x: Tensor) -> Tensor:
    gradient = torch.autograd.grad(score.sum(), x, create_graph=True)[0]
    return (gradient**2).sum((1, 2, 3)).mean()


def normal(n: int, random: torch.Generator) -> Tensor:
    return torch.randn(n, LATENT, generator=random, dtype=torch.float64)


def log_likelihood_loss(z: Tensor, code: Tensor, floor: float) -> Tensor:
    """Eq. 16, with a variance that has a floor in both terms."""
    variance = torch.exp(code[:, LATENT:]) + floor
    return (torch.log(variance) + (z - code[:, :LATENT]) ** 2 / variance).mean()


@pytest.mark.parametrize(("floor", "generator_latent"), [(1e-4, None), (0.4, 0.2)])
def test_two_rounds_of_infogan(floor: float, generator_latent: float | None) -> None:
    made = tiny(InfoGAN, floor=floor, generator_latent=generator_latent)
    model, data = made.double(), batches(2)
    of_g = 1.3 if generator_latent is None else generator_latent
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    v, random = torch.full((LATENT,), 0.3).double(), stream("training")
    for batch in data:
        x = batch.clone().requires_grad_()
        z = normal(len(x), random)
        a_f, code, _ = discriminator(generator(z).detach())
        a_r = discriminator(x).score
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean()
        l_d = l_adv + 0.7 * r1(a_r, x) + 1.3 * log_likelihood_loss(z, code, floor)
        descend(list(discriminator.parameters()), l_d)
        means = [code[:, :LATENT]]

        z = normal(len(x), random)
        a_f, code, _ = discriminator(generator(z))
        l_g = softplus(-a_f).mean() + of_g * log_likelihood_loss(z, code, floor)
        descend(list(generator.parameters()), l_g)
        means.append(code[:, :LATENT])
        v = 0.9 * v + 0.1 * torch.cat(means).detach().square().mean(0)
    reference.prior.v.copy_(v)

    assert_same(model, reference)


def test_two_rounds_of_msegan() -> None:
    model, data = tiny(DLSGAN).double(), batches(2)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    v, random = torch.full((LATENT,), 0.3).double(), stream("training")
    for batch in data:
        x = batch.clone().requires_grad_()
        z = normal(len(x), random)
        a_f, first, _ = discriminator(generator(z).detach())
        a_r = discriminator(x).score
        l_d = softplus(-a_r).mean() + softplus(a_f).mean() + 0.7 * r1(a_r, x)
        descend(list(discriminator.parameters()), l_d + 1.3 * ((z - first) ** 2).mean())

        z = normal(len(x), random)
        a_f, second, _ = discriminator(generator(z))
        descend(
            list(generator.parameters()),
            softplus(-a_f).mean() + 1.3 * ((z - second) ** 2).mean(),
        )
        v = 0.9 * v + 0.1 * torch.cat([first, second]).detach().square().mean(0)
    reference.prior.v.copy_(v)

    assert_same(model, reference)
    # v was traced, and still nothing is scaled
    assert model.prior.scale().tolist() == [1.0] * LATENT


def test_infogans_code_is_the_mean_and_takes_no_variance() -> None:
    model = tiny(InfoGAN).eval()
    x = torch.rand(5, *SHAPE) * 2 - 1
    output = model.discriminator(x)
    assert output.code.shape == (5, 2 * LATENT)
    assert torch.equal(model.encode(x), output.code[:, :LATENT])
    assert torch.equal(model.reconstruct(x), model.decode(output.code[:, :LATENT]))


def test_the_floor_bounds_the_variance_and_so_the_loss() -> None:
    """A head that says e^-1000 would otherwise make log σ² fall without end."""
    model = tiny(InfoGAN, floor=0.02)
    assert isinstance(model, InfoGAN)
    mean, variance = model.predict(torch.tensor([[0.5, -1.0, 2.0, -1000.0, 0.0, math.log(3)]]))
    assert mean.tolist() == [[0.5, -1.0, 2.0]]
    torch.testing.assert_close(variance, torch.tensor([[0.02, 1.02, 3.02]]))


@pytest.mark.parametrize("floor", [0.0, -1.0])
def test_a_floor_that_is_none_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match=f"floor: expected number > 0, got {floor}"):
        tiny(InfoGAN, floor=floor)
