"""Four models as plain PyTorch loops: what training costs without this package around it.

Each function makes the same networks, optimisers and averages as the model of its name with the
settings of its config file, and yields after each iteration. A loop has what a run needs to give
the same result, and nothing else: no checks, hooks, logs, checkpoints or progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from lightning_gans.networks import (
    ConvDiscriminator,
    ConvGenerator,
    MLPDiscriminator,
    MLPGenerator,
)
from lightning_gans.optimizers import AdamW

SHAPE, LATENT = (1, 32, 32), 64
# of Gaussian clusters
POINT, POINT_LATENT, CATEGORIES = (2,), 256, 16

Networks = Callable[..., nn.Module]
Loop = Iterator[None]


class Players:
    """Two networks, each with an optimiser, and the averages of both."""

    def __init__(self, generator: nn.Module, critic: nn.Module, **optimizer: float) -> None:
        self.generator, self.critic = list(generator.parameters()), list(critic.parameters())
        self.descend_g, self.descend_c = (
            AdamW(p, **optimizer)  # type: ignore[arg-type]  # all are numbers
            for p in (self.generator, self.critic)
        )
        self.followed: list[Tensor] = [*self.critic, *self.generator]
        self.averages = [p.detach().clone() for p in self.followed]

    def descend(self, loss: Tensor, optimizer: AdamW) -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    def critics_turn(self) -> None:
        for p in self.generator:
            p.requires_grad_(False)
        for p in self.critic:
            p.requires_grad_(True)

    def generators_turn(self) -> None:
        for p in self.critic:
            p.requires_grad_(False)
        for p in self.generator:
            p.requires_grad_(True)

    @torch.no_grad()
    def average(self) -> None:
        torch._foreach_lerp_(self.averages, self.followed, 1e-3)


def penalty(score: Tensor, x: Tensor) -> Tensor:
    """The mean squared norm of the scores' gradient."""
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return slope.flatten(1).square().sum(1).mean()


def gan(batches: Iterator[Tensor], **width: Any) -> Loop:
    """The plain GAN with R1."""
    generator = ConvGenerator(LATENT, SHAPE, **width)
    critic = ConvDiscriminator(SHAPE, scores=1, code_dim=0, **width)
    both = Players(generator, critic, lr=1e-3, weight_decay=0.0)
    for x in batches:
        both.critics_turn()
        x.requires_grad_()
        real = critic(x).score
        fake = critic(generator(torch.randn(len(x), LATENT))).score
        loss = (softplus(-real) + softplus(fake)).mean() + 0.1 * penalty(real, x)
        both.descend(loss, both.descend_c)
        both.generators_turn()
        fake = critic(generator(torch.randn(len(x), LATENT))).score
        both.descend(softplus(-fake).mean(), both.descend_g)
        both.average()
        yield


def dlsgan(batches: Iterator[Tensor], **width: Any) -> Loop:
    """DLSGAN with R1."""
    generator = ConvGenerator(LATENT, SHAPE, **width)
    critic = ConvDiscriminator(SHAPE, scores=1, code_dim=LATENT, **width)
    both = Players(generator, critic, lr=1e-3, weight_decay=0.0)
    v = torch.full((LATENT,), 1e-4)
    for x in batches:
        s = (LATENT * v / v.sum()).sqrt()
        both.critics_turn()
        x.requires_grad_()
        z = torch.randn(len(x), LATENT)
        real, fake = critic(x), critic(generator(z * s))
        loss = (softplus(-real.score) + softplus(fake.score)).mean()
        loss = loss + 0.1 * penalty(real.score, x) + (s * (z - fake.code)).square().mean()
        both.descend(loss, both.descend_c)
        seen = fake.code.detach()
        both.generators_turn()
        z = torch.randn(len(x), LATENT)
        fake = critic(generator(z * s))
        loss = softplus(-fake.score).mean() + (s * (z - fake.code)).square().mean()
        both.descend(loss, both.descend_g)
        with torch.no_grad():
            v.lerp_(torch.cat([seen, fake.code]).square().mean(0), 1e-3)
        both.average()
        yield


def pvdgan(batches: Iterator[Tensor], **width: Any) -> Loop:
    """PVDGAN with R1."""
    generator = ConvGenerator(LATENT, SHAPE, **width)
    critic = ConvDiscriminator(SHAPE, scores=1, code_dim=LATENT, **width)
    both = Players(generator, critic, lr=1e-3, weight_decay=0.0)
    v = torch.full((LATENT,), 1e-4)
    for x in batches:
        half = len(x) // 2
        s = (LATENT * v / v.sum()).sqrt()
        both.critics_turn()
        x.requires_grad_()
        z = torch.randn(len(x), LATENT)
        real, fake = critic(x), critic(generator(z * s))
        loss = (softplus(-real.score) + softplus(fake.score)).mean()
        loss = loss + 0.1 * penalty(real.score, x) + (s * (z - fake.code)).square().mean()
        both.descend(loss, both.descend_c)
        seen = fake.code.detach()
        both.generators_turn()
        z = torch.randn(len(x), LATENT)
        noise = z[:half] * (1 - v).clamp(min=0).sqrt()
        z = torch.cat([real.code[:half].detach() + noise, z[half:]])
        fake = critic(generator(z * s))
        loss = softplus(-fake.score).mean() + (s * (z - fake.code))[half:].square().mean()
        difference = real.features[:half].detach() - fake.features[:half]
        both.descend(loss + difference.square().mean(), both.descend_g)
        with torch.no_grad():
            v.lerp_(torch.cat([seen, fake.code[half:]]).square().mean(0), 1e-3)
        both.average()
        yield


def cgpgan(batches: Iterator[Tensor]) -> Loop:
    """CGPGAN on points, in its warm-up, with both penalties."""
    generator = MLPGenerator(POINT_LATENT, POINT, (CATEGORIES,))
    critic = MLPDiscriminator(POINT, scores=CATEGORIES, code_dim=0)
    classifier = MLPDiscriminator(POINT, scores=0, code_dim=CATEGORIES)
    both = Players(generator, nn.ModuleList([critic, classifier]), lr=1e-4, weight_decay=1e-4)
    p = torch.full((CATEGORIES,), 1 / CATEGORIES)

    def draw(n: int) -> tuple[Tensor, Tensor, Tensor]:
        z, category = torch.randn(n, POINT_LATENT), torch.multinomial(p, n, True)
        return z, category, one_hot(category, CATEGORIES).float()

    for x in batches:
        both.critics_turn()
        z, category, c = draw(len(x))
        with torch.no_grad():
            y = generator(z, c)
            found = classifier(x).code.softmax(1)
            found = found - found.mean(0) + 1 / CATEGORIES
            chosen = one_hot(found.argmax(1), CATEGORIES)
        y.requires_grad_()
        real, fake = (critic(x).score * chosen).sum(1), (critic(y).score * c).sum(1)
        logits = classifier(y).code
        right = (logits.softmax(1) * c).sum(1)
        loss = (softplus(-real) + softplus(fake)).mean() + cross_entropy(logits, category)
        loss = loss + penalty(fake, y) + 0.1 * penalty((1 - right).square(), y)
        both.descend(loss, both.descend_c)
        both.generators_turn()
        z, category, c = draw(len(x))
        fake = (critic(generator(z, c)).score * c).sum(1)
        both.descend(softplus(-fake).mean(), both.descend_g)
        with torch.no_grad():
            p.lerp_(found.mean(0), 1e-3)
        both.average()
        yield
