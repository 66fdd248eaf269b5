"""Codes that are kept where genuine draws are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from lightning_gans.distances import wasserstein
from lightning_gans.errors import InputError
from lightning_gans.inversion import (
    Energy,
    FromEncoder,
    HardCutoff,
    Wasserstein,
    goodness_of_fit,
    recover,
)
from lightning_gans.inversion.typical import Companions, Typicality
from lightning_gans.priors import HalfUniformHalfNormal, Normal, Prior, Uniform
from lightning_gans.rng import stream

L = 256
Spoil = Callable[[Tensor], Tensor]
PRIORS = [Normal(L), Uniform(L), HalfUniformHalfNormal(L)]


def name(prior: Prior) -> str:
    return type(prior).__name__


@pytest.mark.parametrize("prior", PRIORS, ids=name)
@pytest.mark.parametrize("spoil", [lambda z: 1.4 * z, lambda z: z + 0.3, lambda z: z**3])
def test_samples_are_moved_until_they_are_within(prior: Prior, spoil: Spoil) -> None:
    z = spoil(prior.sample(40, stream("codes", 0)))
    companions = Companions.draw(prior, 40, stream("companions", 0))
    moved = companions.project(z)
    for before, after, companion, most in zip(z, moved, *companions, strict=True):
        far = stats.wasserstein_distance(before.numpy(), companion.numpy())
        found = stats.wasserstein_distance(after.numpy(), companion.numpy())
        # no farther than it must, and not at all if it is within
        assert found == pytest.approx(min(far, most.item()), rel=1e-4)
        if far <= most:
            assert torch.equal(before, after)
    assert torch.equal(moved.argsort(1), z.argsort(1))
    assert not torch.equal(moved, z)


@pytest.mark.parametrize("prior", PRIORS, ids=name)
def test_companions_are_genuine_and_so_are_their_distances(prior: Prior) -> None:
    companions = Companions.draw(prior, 400, stream("companions", 0))
    assert goodness_of_fit(companions.values, prior).pvalue > 1e-3
    pairs = prior.sample(2 * 400, stream("pairs", 0)).view(2, 400, L).numpy()
    between = [stats.wasserstein_distance(a, b) for a, b in zip(*pairs, strict=True)]
    assert stats.ks_2samp(companions.most.numpy(), between).pvalue > 1e-3


@pytest.mark.parametrize("prior", PRIORS, ids=name)
def test_all_elements_together_are_a_genuine_sample(prior: Prior) -> None:
    z = 1.15 * prior.sample(32, stream("codes", 0))
    assert goodness_of_fit(z, prior).verdict == "rejected"
    pools = []
    for i in range(12):
        typicality = Typicality(prior, 32, stream(f"held {i}", 0))
        moved = typicality.project(z)
        pools.append(moved.flatten().sort().values)
        # each code's order is kept, up to elements that meet
        kept = moved.gather(1, typicality.companions.project(z).argsort(1))
        assert (kept.diff(dim=1) >= 0).all()
    pvalues = [goodness_of_fit(pool.view(32, L), prior).pvalue for pool in pools]
    assert stats.kstest(pvalues, "uniform").pvalue > 1e-3
    assert not torch.equal(pools[0], pools[1])


def test_the_loss_is_the_reconstruction_alone_and_codes_stay_within() -> None:
    torch.manual_seed(0)
    prior = Normal(L)
    generator = nn.Sequential(nn.Linear(L, 300), nn.Tanh())
    with torch.no_grad():
        x = generator(1.6 * prior.sample(20, stream("targets", 0)))
    found = recover(generator, x, prior, Wasserstein(), "typical", steps=60, restarts=2, lr=0.1)
    free = recover(generator, x, prior, None, steps=60, restarts=2, lr=0.1)
    assert torch.equal(found.losses, found.reconstruction)
    assert goodness_of_fit(free.codes, prior).verdict == "rejected"
    assert goodness_of_fit(found.codes, prior).verdict != "rejected"
    genuine = wasserstein(prior.sample(2000, stream("genuine", 0)), prior)
    # each is within two genuine distances of the prior
    assert wasserstein(found.codes, prior).max() <= 2 * genuine.max()
    again = recover(generator, x, prior, Wasserstein(), "typical", steps=60, restarts=2, lr=0.1)
    assert torch.equal(found.codes, again.codes)


@pytest.mark.parametrize("prior", PRIORS, ids=name)
def test_codes_that_are_chosen_from_restarts_are_still_genuine(prior: Prior) -> None:
    dim = 48
    prior = type(prior)(dim)
    generator = nn.Sequential(nn.Linear(dim, 60), nn.Tanh())
    with torch.no_grad():
        x = generator(1.5 * prior.sample(12, stream("targets", 0)))
    pvalues = []
    for seed in range(25):
        found = recover(
            generator, x, prior, Wasserstein(), "typical", steps=15, restarts=6, lr=0.1, seed=seed
        )
        # what is returned still belongs together
        with torch.no_grad():
            torch.testing.assert_close(found.images, generator(found.codes))
        torch.testing.assert_close(found.losses, (found.images - x).abs().mean(1))
        pvalues.append(goodness_of_fit(found.codes, prior).pvalue)
    assert stats.kstest(pvalues, "uniform").pvalue > 1e-3


def test_first_codes_that_are_not_typical_are_not_returned() -> None:
    prior, generator = Normal(L), nn.Linear(L, 30)
    start = FromEncoder(lambda x: 3 * torch.ones(len(x), L))
    found = recover(
        generator, torch.zeros(9, 30), prior, Wasserstein(), "typical", steps=3, start=start
    )
    assert goodness_of_fit(found.codes, prior).verdict != "rejected"


def test_it_is_the_wasserstein_distances() -> None:
    with pytest.raises(InputError, match="cannot take another"):
        recover(
            nn.Linear(L, 3), torch.zeros(1, 3), Normal(L), Wasserstein(), "typical", HardCutoff()
        )
    for regularizer in (None, Energy(), Wasserstein(2), Wasserstein(draws=9)):
        with pytest.raises(InputError, match=r"regularizer=Wasserstein\(\)"):
            recover(nn.Linear(L, 3), torch.zeros(1, 3), Normal(L), regularizer, "typical")
