"""What regularisers penalise, and which priors they allow."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
import torch.distributions as dist
from torch import Tensor, nn

from lightning_gans import distances
from lightning_gans.errors import InputError
from lightning_gans.inversion import (
    Bhattacharyya,
    BhattacharyyaNormal,
    Energy,
    FoolDiscriminator,
    LukaszykKarmowski,
    Regularizer,
    StatisticalDistance,
    Wasserstein,
    ZScoreAbsolute,
    ZScoreSquare,
    recover,
)
from lightning_gans.losses import NonSaturating
from lightning_gans.priors import (
    DynamicScale,
    HalfUniformHalfNormal,
    Independent,
    Normal,
    Prior,
    Uniform,
)
from lightning_gans.rng import stream

L = 16
Y = torch.zeros(5, 3)


def codes() -> Tensor:
    return torch.randn(5, L, generator=stream("codes", 1)).double()


def penalty(regularizer: Regularizer, z: Tensor, prior: Prior, seed: int = 0) -> Tensor:
    return regularizer.penalty(z, Y, prior, stream("draws", seed))


@pytest.mark.parametrize(
    "prior", [Normal(L, 0.5, 2.0), Uniform(L), HalfUniformHalfNormal(L)], ids=str
)
def test_closed_forms_are_the_distances(prior: Prior) -> None:
    z = codes()
    for regularizer, expected in (
        (Wasserstein(), distances.wasserstein(z, prior)),
        (Wasserstein(2), distances.wasserstein(z, prior, 2)),
        (Energy(), distances.energy(z, prior)),
        (LukaszykKarmowski(), distances.lukaszyk_karmowski(z, prior)),
    ):
        torch.testing.assert_close(penalty(regularizer, z, prior), expected)


@pytest.mark.parametrize("make", [Wasserstein, Energy, LukaszykKarmowski])
def test_sampled_forms_draw_anew_for_each_code_and_step(make: type[StatisticalDistance]) -> None:
    prior, z = Normal(L).double(), codes()
    few = make(draws=50)
    first, again = penalty(few, z, prior), penalty(few, z, prior)
    assert torch.equal(first, again)
    assert not torch.isclose(first, penalty(few, z, prior, seed=1)).any()
    # the same code twice meets different draws
    twice = penalty(few, z[:1].expand(2, L), prior)
    assert twice[0] != twice[1]
    random = stream("draws", 0)
    assert not torch.equal(few.penalty(z, Y, prior, random), few.penalty(z, Y, prior, random))
    many = penalty(make(draws=200_000), z, prior)
    torch.testing.assert_close(many, penalty(make(), z, prior), rtol=0, atol=0.01)


def test_a_sampled_wasserstein_of_order_two() -> None:
    prior, z = Normal(L).double(), codes()
    many = penalty(Wasserstein(2, draws=200_000), z, prior)
    torch.testing.assert_close(many, penalty(Wasserstein(2), z, prior), rtol=0, atol=0.01)


def test_formulas_of_normal_priors() -> None:
    prior, z = Normal(L, 0.5, 2.0), codes()
    t = (z - 0.5) / 2
    torch.testing.assert_close(penalty(ZScoreSquare(), z, prior), t.square().mean(1))
    torch.testing.assert_close(penalty(ZScoreAbsolute(), z, prior), t.abs().mean(1))
    torch.testing.assert_close(
        penalty(Bhattacharyya(), z, prior), -torch.exp(-t.square() / 4).sum(1).log()
    )
    m, s2 = t.mean(1), t.var(1, unbiased=False)
    expected = m.square() / (4 * (s2 + 1)) + 0.5 * torch.log((s2 + 1) / (2 * s2.sqrt()))
    torch.testing.assert_close(penalty(BhattacharyyaNormal(), z, prior), expected)


@pytest.mark.parametrize(
    ("regularizer", "normal_only"),
    [
        (Wasserstein(), False),
        (Energy(), False),
        (LukaszykKarmowski(), False),
        (Bhattacharyya(), True),
        (BhattacharyyaNormal(), True),
        (ZScoreSquare(), True),
        (ZScoreAbsolute(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_conditions_on_the_prior(regularizer: Regularizer, normal_only: bool) -> None:
    """Table 6 of the paper; a traced normal and torch's own are normal too."""
    prior: Prior
    for prior in (Normal(L), DynamicScale(L), Independent(L, dist.Normal(0.0, 1.0))):
        regularizer.check(prior)
    for prior in (Uniform(L), HalfUniformHalfNormal(L)):
        if normal_only:
            with pytest.raises(InputError, match=f"normal prior, this one is {type(prior)}"[:24]):
                regularizer.check(prior)
        else:
            regularizer.check(prior)
    differing = Independent(L, dist.Laplace(torch.zeros(L), torch.arange(1.0, L + 1)))
    with pytest.raises(InputError, match=type(regularizer).__name__):
        regularizer.check(differing)
    FoolDiscriminator(Critic()).check(differing)


class Judged(NamedTuple):
    score: Tensor


class Critic(nn.Module):
    """Scores whose value in training mode would be another one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 1, bias=False))

    def forward(self, x: Tensor) -> Judged:
        return Judged(self.layers(x)[:, 0])


def test_fool_the_discriminator() -> None:
    critic = Critic()
    y = torch.randn(5, 3, generator=stream("y", 0))
    score = y @ critic.layers[1].weight[0]  # type: ignore[index]
    z, prior, random = torch.zeros(5, L), Uniform(L), stream("draws", 0)
    critic.eval()
    torch.testing.assert_close(
        FoolDiscriminator(critic).penalty(z, y, prior, random), (score - 1).square()
    )
    found = FoolDiscriminator(critic, NonSaturating()).penalty(z, y, prior, random)
    torch.testing.assert_close(found, -torch.sigmoid(score).log())

    critic.train()
    generator = nn.Linear(L, 3)
    fooled = recover(
        generator, torch.zeros(4, 3), prior, FoolDiscriminator(critic), 2.0, steps=4, restarts=2
    )
    assert critic.training
    assert all(p.requires_grad and p.grad is None for p in critic.parameters())
    expected = 2.0 * (critic.eval()(fooled.images).score - 1).square()
    torch.testing.assert_close(fooled.losses - fooled.reconstruction, expected.detach())


def test_wrong_arguments() -> None:
    with pytest.raises(
        ValueError, match=r"draws: expected whole number from 1 to .* or null, got 0"
    ):
        Energy(draws=0)
    with pytest.raises(ValueError, match="order: expected whole number from 1 to 2, got 3"):
        Wasserstein(3)
