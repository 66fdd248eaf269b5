"""DLSGAN against Algorithm 2 of the thesis, and what must hold for any latent scale."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch.nn.functional import softplus

from lightning_gans.models import DLSGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import DynamicScale, Normal
from lightning_gans.rng import stream
from tests.support.models import tiny_dlsgan
from tests.support.rounds import (
    LATENT,
    SHAPE,
    assert_same,
    batches,
    descend,
    train,
)


@pytest.mark.parametrize("generator_latent", [None, 0.0, 0.4])
def test_two_rounds_are_algorithm_2(generator_latent: float | None) -> None:
    model, data = tiny_dlsgan(generator_latent=generator_latent).double(), batches(2)
    of_g = 1.3 if generator_latent is None else generator_latent
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    v, random = torch.full((LATENT,), 1e-4).double(), stream("training")
    for batch in data:
        # update D*
        x = batch.clone().requires_grad_()
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        s = (LATENT * v).sqrt() / v.sqrt().norm()
        a_f, z_1, _ = discriminator(generator(z * s).detach())
        a_r, _, _ = discriminator(x)
        l_enc = (((z - z_1) * s) ** 2).sum(1).mean() / LATENT
        gradient = torch.autograd.grad(a_r.sum(), x, create_graph=True)[0]
        l_r1 = (gradient**2).sum((1, 2, 3)).mean()
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean()
        descend(list(discriminator.parameters()), l_adv + 0.7 * l_r1 + 1.3 * l_enc)
        # update G
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        a_f, z_2, _ = discriminator(generator(z * s))
        l_enc = (((z - z_2) * s) ** 2).sum(1).mean() / LATENT
        descend(list(generator.parameters()), softplus(-a_f).mean() + of_g * l_enc)
        # update v
        v = 0.9 * v + 0.1 * torch.cat([z_1, z_2]).detach().square().mean(0)
    reference.prior.v.copy_(v)  # type: ignore[operator]  # a buffer

    assert_same(model, reference)


def test_scale_is_what_the_generator_sees_and_what_v_makes_it() -> None:
    model = tiny_dlsgan()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.tensor([1.0, 0.25, 0.0]))
    s = model.prior.scale()
    torch.testing.assert_close(s, torch.tensor([2.4, 0.6, 0.0]).sqrt())
    z = torch.randn(5, LATENT)
    ignored = z.clone()
    ignored[:, 2] += 10
    torch.testing.assert_close(model.decode(z), model.decode(ignored))
    torch.testing.assert_close(model.decode(z), model.generator(z * s).clamp(-1, 1))


def test_with_a_fixed_prior_it_is_msegan() -> None:
    model = tiny_dlsgan(prior=Normal)
    train(model.double(), batches(2))
    assert model.prior.scale().tolist() == [1.0] * LATENT
    assert "prior.v" not in model.state_dict()


def test_finds_the_plane_in_six_dimensions() -> None:
    """Data on a 2-plane of R⁶ hold two numbers a point, which two or three elements carry."""
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 2)).Q
    model = DLSGAN(
        image_shape=(6,),
        latent_dim=6,
        generator=partial(MLPGenerator, width=64, depth=2),
        discriminator=partial(MLPDiscriminator, width=64, depth=2),
        prior=partial(DynamicScale, decay=0.99),
        optimizer=AdamW,
        r1=0.1,
    )
    train(model, list((torch.randn(64 * 600, 2) @ basis.T).split(64)), precision="32-true")
    scale = model.prior.scale().sort(descending=True).values
    assert scale[1] > 1.2
    assert scale[3] < 0.4
    z = model.prior.sample(2000)
    with torch.no_grad():
        x = model.generator(z * model.prior.scale())
        code = model.discriminator(x).code
    torch.testing.assert_close((x @ basis).std(0), torch.ones(2), rtol=0, atol=0.15)
    assert (model.prior.scale() * (z - code)).square().mean() < 0.15


@pytest.mark.parametrize("n", [1, 7])
def test_capabilities_agree(n: int) -> None:
    model = tiny_dlsgan().eval()
    x = model.generate(n, torch.Generator().manual_seed(3))
    z = model.prior.sample(n, torch.Generator().manual_seed(3))
    assert x.shape == (n, *SHAPE)
    assert x.abs().max() <= 1
    assert not x.requires_grad
    torch.testing.assert_close(x, model.decode(z))
    assert model.encode(x).shape == (n, LATENT)
    torch.testing.assert_close(model.encode(x), model.discriminator(x).code)
    torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x)))


def test_capabilities_refuse_wrong_shapes() -> None:
    model = tiny_dlsgan()
    with pytest.raises(ValueError, match=r"latents of shape \(n, 3\), got \(2, 4\)"):
        model.decode(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        model.encode(torch.zeros(2, 1, 5, 5))
