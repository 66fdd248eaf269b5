"""PVDGAN against Algorithm 4 of the thesis and VAEGAN against its Eq. 19-24."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gans.models import DLSGAN, PVDGAN, VAEGAN
from lightning_gans.priors import DynamicScale, Normal, Uniform
from lightning_gans.rng import stream
from tests.support.rounds import (
    BATCH,
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

# two elements whose 1 - v is negative, before and after two updates
V = torch.tensor([2.5, 0.4, 1.9], dtype=torch.float64)


def arguments(**options: object) -> dict[str, Any]:
    torch.manual_seed(1)
    shared: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "r1": 0.7,
    }
    return {**shared, **options}


def pvdgan(**options: object) -> PVDGAN:
    prior = partial(DynamicScale, decay=0.9)
    given: dict[str, object] = {"prior": prior, "latent": 1.3, "reconstruction": 0.6}
    model = PVDGAN(**arguments(**{**given, **options})).double()
    model.prior.v.copy_(V)
    return model


def vaegan(**options: object) -> VAEGAN:
    given: dict[str, object] = {"reconstruction": 0.6, "regularization": 0.4}
    return VAEGAN(**arguments(**{**given, **options})).double()


def r1(score: Tensor, x: Tensor) -> Tensor:
    gradient = torch.autograd.grad(score.sum(), x, create_graph=True)[0]
    return (gradient**2).sum((1, 2, 3)).mean()


def normal(n: int, random: torch.Generator) -> Tensor:
    return torch.randn(n, LATENT, generator=random, dtype=torch.float64)


@pytest.mark.parametrize(("b", "generator_latent"), [(2, None), (6, 0.4), (7, None)])
def test_two_rounds_are_algorithm_4(b: int, generator_latent: float | None) -> None:
    model, data = pvdgan(generator_latent=generator_latent), batches(2, size=b)
    of_g = 1.3 if generator_latent is None else generator_latent
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    v, random = V.clone(), stream("training")
    for batch in data:
        k = b // 2
        # update D*
        x = batch.clone().requires_grad_()
        z = normal(b, random)
        s = (LATENT * v).sqrt() / v.sqrt().norm()
        a_r, z_r, y_r = discriminator(x)
        a_f, z_1, _ = discriminator(generator(z * s).detach())
        l_enc = (((z - z_1) * s) ** 2).mean()
        l_adv = softplus(-a_r).mean() + softplus(a_f).mean()
        l_d = l_adv + 0.7 * r1(a_r, x) + 1.3 * l_enc
        # constants for what follows, from before D* is updated
        z_r, y_r, z_1 = z_r.detach(), y_r.detach(), z_1.detach()
        descend(list(discriminator.parameters()), l_d)
        # update G
        assert (1 - v).min() < -0.3
        assert (1 - v).max() > 0.3
        epsilon = normal(b, random)
        z_x = z_r[:k] + epsilon[:k] * torch.maximum(1 - v, torch.zeros(LATENT)).sqrt()
        z = torch.cat([z_x, epsilon[k:]])
        a_f, z_2, y_f = discriminator(generator(z * s))
        l_enc = (((z[k:] - z_2[k:]) * s) ** 2).mean()
        l_rec = ((y_r[:k] - y_f[:k]) ** 2).mean()
        l_g = softplus(-a_f).mean() + of_g * l_enc + 0.6 * l_rec
        descend(list(generator.parameters()), l_g)
        # update v
        v = 0.9 * v + 0.1 * torch.cat([z_1**2, z_2[k:].detach() ** 2]).mean(0)
    reference.prior.v.copy_(v)

    assert_same(model, reference)


def work(model: DLSGAN | PVDGAN, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What an iteration computes: passes through a network with their rows, and back."""
    seen: list[str] = []

    def passes(name: str, network: nn.Module) -> None:
        network.register_forward_hook(lambda _, z, __: seen.append(f"{name} of {len(z[0])}"))

    def count(name: str) -> None:
        original = getattr(torch.autograd, name)

        def counted(*tensors: object, **options: object) -> object:
            seen.append(name)
            return original(*tensors, **options)

        patch.setattr(torch.autograd, name, counted)

    passes("generator", model.generator)
    passes("discriminator", model.discriminator)
    with monkeypatch.context() as patch:
        count("grad")
        count("backward")
        train(model, batches(1))
    return seen


def test_pvdgan_costs_no_pass_more_than_dlsgan(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DLSGAN(**arguments(prior=partial(DynamicScale, decay=0.9))).double()
    turns = ["generator of 6", "discriminator of 6", "backward"]
    expected = sorted([*turns, *turns, "discriminator of 6", "grad"])  # real images, and R1
    assert sorted(work(plain, monkeypatch)) == expected
    assert sorted(work(pvdgan(), monkeypatch)) == expected


def test_pvdgan_needs_a_traced_variance() -> None:
    with pytest.raises(ValueError, match="PVDGAN needs a DynamicScale or FixedScale, got Normal"):
        pvdgan(prior=Normal)


def test_pvdgan_refuses_a_prior_that_its_noise_does_not_have() -> None:
    base = partial(Uniform, low=-1.7, high=1.7)
    expected = r"PVDGAN adds normal noise .* got DynamicScale of Uniform$"
    with pytest.raises(ValueError, match=expected):
        pvdgan(prior=partial(DynamicScale, base=base))
    pvdgan(prior=partial(DynamicScale, base=partial(Normal, std=2)))


def test_two_rounds_are_vaegans_equations() -> None:
    model, data = vaegan(), batches(2)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    encoder, random, k = reference.encoder, stream("training"), BATCH // 2

    def posterior(x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 19 and 21."""
        code = encoder(x).code
        mean, log_variance = code[:, :LATENT], code[:, LATENT:]
        prior_loss = (mean**2 - log_variance + torch.exp(log_variance)).mean()
        return mean + noise * torch.exp(log_variance / 2), prior_loss

    for batch in data:
        x = batch.clone().requires_grad_()
        noise = normal(BATCH, random)
        z = torch.cat([noise[:k], posterior(batch[k:], noise[k:])[0]])
        a_r, _, y_r = discriminator(x)
        a_f = discriminator(generator(z).detach()).score
        l_d = softplus(-a_r).mean() + softplus(a_f).mean() + 0.7 * r1(a_r, x)
        y_r = y_r.detach()
        descend(list(discriminator.parameters()), l_d)

        noise = normal(BATCH, random)
        z_x, l_prr = posterior(batch[:k], noise[:k])
        a_f, _, y_f = discriminator(generator(torch.cat([z_x, noise[k:]])))
        l_adv, l_rec = softplus(-a_f).mean(), ((y_f[:k] - y_r[:k]) ** 2).mean()
        moves = []
        for player, loss in (
            (generator, l_adv + 0.6 * l_rec),  # Eq. 23
            (encoder, 0.6 * l_rec + 0.4 * l_prr),  # Eq. 24
        ):
            weights = list(player.parameters())
            gradients = torch.autograd.grad(loss, weights, retain_graph=True)
            moves += list(zip(weights, gradients, strict=True))
        with torch.no_grad():
            for weight, gradient in moves:
                weight.sub_(gradient, alpha=0.1)

    assert_same(model, reference)


def test_vaegan_logs_the_reconstruction_loss_itself() -> None:
    """The term by which the encoder learns adds a gradient and nothing to the value."""
    model, (x,) = vaegan(), batches(1)
    before = copy.deepcopy(model)
    runner = trainer(precision="64-true", log_every_n_steps=1)
    runner.fit(model, one_by_one([(x, torch.zeros(BATCH))]))

    random, k = stream("training"), BATCH // 2
    normal(BATCH, random)  # the discriminator's
    noise = normal(BATCH, random)[:k]
    with torch.no_grad():
        mean, log_variance = before.encoder(x[:k]).code.split(LATENT, 1)
        y = before.generator(mean + noise * torch.exp(log_variance / 2))
        # the discriminator has moved in between
        difference = before.discriminator(x[:k]).features - model.discriminator(y).features
    expected = 0.6 * (difference**2).mean()
    logged = runner.callback_metrics["generator/reconstruction"]
    torch.testing.assert_close(logged.double(), expected, rtol=1e-6, atol=0)


def test_vaegan_encodes_to_the_posteriors_mean() -> None:
    model = vaegan().eval()
    (x,) = batches(1)
    assert torch.equal(model.encode(x), model.encoder(x).code[:, :LATENT])
    assert torch.equal(model.reconstruct(x), model.generator(model.encode(x)).clamp(-1, 1))
    assert model.discriminator(x).code.shape == (BATCH, 0)
