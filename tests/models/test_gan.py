"""GAN, with each loss and penalty, against its paper written out plainly."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_gans.errors import UserError
from lightning_gans.losses import Hinge, LeastSquares, LossFactory, NonSaturating, Wasserstein
from lightning_gans.models import GAN, NonFiniteLoss
from lightning_gans.priors import Uniform
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

Function = Callable[[Tensor], Tensor]


def tiny(**options: object) -> GAN:
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "r1": 0.0,
    }
    return GAN(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given


def norms(score: Tensor, x: Tensor) -> Tensor:
    gradient = torch.autograd.grad(score.sum(), x, create_graph=True)[0]
    length: Tensor = gradient.flatten(1).norm(dim=1)
    return length


@pytest.mark.parametrize(
    ("loss", "real", "fake", "player"),
    [
        (
            NonSaturating,
            lambda a: -logsigmoid(a),
            lambda a: -logsigmoid(-a),
            lambda a: -logsigmoid(a),
        ),
        (LeastSquares, lambda a: (a - 1) ** 2, lambda a: a**2, lambda a: (a - 1) ** 2),
        (
            Hinge,
            lambda a: torch.clamp(1 - a, min=0),
            lambda a: torch.clamp(1 + a, min=0),
            lambda a: -a,
        ),
    ],
)
@pytest.mark.parametrize("interval", [1, 2])
def test_two_rounds_with_r1_and_r2(
    loss: LossFactory, real: Function, fake: Function, player: Function, interval: int
) -> None:
    model = tiny(loss=loss, r1=0.5, r2=0.3, penalty_interval=interval).double()
    data = batches(2 * interval)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    random = stream("training")
    for i, batch in enumerate(data):
        x = batch.clone().requires_grad_()
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        y = generator(z).detach().requires_grad_()
        a_r, a_f = discriminator(x).score, discriminator(y).score
        penalties = 0.5 * (norms(a_r, x) ** 2).mean() + 0.3 * (norms(a_f, y) ** 2).mean()
        penalties = penalties * (interval if i % interval == interval - 1 else 0)  # lazily
        descend(list(discriminator.parameters()), real(a_r).mean() + fake(a_f).mean() + penalties)
        z = torch.randn(len(x), LATENT, generator=random, dtype=torch.float64)
        descend(list(generator.parameters()), player(discriminator(generator(z)).score).mean())

    assert_same(model, reference)


@pytest.mark.parametrize("interval", [1, 2])
def test_two_rounds_of_wgan_gp_with_two_critic_steps(interval: int) -> None:
    model = tiny(
        loss=Wasserstein,
        penalty=10.0,
        critic_steps=2,
        prior=Uniform,
        penalty_interval=interval,
    ).double()
    data = batches(2 * interval)
    reference = copy.deepcopy(model)
    train(model, data)

    generator, discriminator = reference.generator, reference.discriminator
    random = stream("training")

    def draw(n: int) -> Tensor:
        return 2 * torch.rand(n, LATENT, generator=random, dtype=torch.float64) - 1

    for i, batch in enumerate(data):
        for x in (batch[:3], batch[3:]):
            y = generator(draw(3)).detach()
            loss = discriminator(y).score.mean() - discriminator(x).score.mean()
            if i % interval == interval - 1:  # lazily
                u = torch.rand(3, generator=random, dtype=torch.float64).view(3, 1, 1, 1)
                between = (u * x + (1 - u) * y).requires_grad_()
                steepness = norms(discriminator(between).score, between)
                loss = loss + 10 * interval * ((steepness - 1) ** 2).mean()
            descend(list(discriminator.parameters()), loss)
        descend(list(generator.parameters()), -discriminator(generator(draw(3))).score.mean())

    assert_same(model, reference)


def test_a_batch_that_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match=r"batch of 6 .* critic_steps=7"):
        train(tiny(critic_steps=7), batches(1))


def test_a_batch_is_cut_as_evenly_as_it_can_be() -> None:
    x = torch.arange(32.0)
    parts = tiny(critic_steps=5).parts(x)
    assert [len(part) for part in parts] == [7, 7, 6, 6, 6]
    assert torch.equal(torch.cat(parts), x)


def test_has_no_encoder() -> None:
    with pytest.raises(UserError, match=r"GAN does not support encode\(\)"):
        tiny().encode(torch.zeros(1, *SHAPE))
    assert not any("code" in name for name, _ in tiny().named_parameters())


def test_a_loss_that_is_no_number_stops_before_the_weights() -> None:
    model, data = tiny().double(), batches(3)
    before: list[dict[str, Tensor]] = []
    original = model.training_step

    def watch(batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        if batch_idx == 1:
            model.get_parameter("discriminator.heads.score.bias").data.fill_(torch.nan)
        before.append(copy.deepcopy(model.state_dict()))
        original(batch, batch_idx)

    model.training_step = watch  # type: ignore[method-assign]
    with pytest.raises(
        NonFiniteLoss, match="'discriminator/adversarial' became nan in iteration 2"
    ):
        train(model, data)
    assert len(before) == 2
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[1][name], rtol=0, atol=0, equal_nan=True)
