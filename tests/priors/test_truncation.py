"""Truncated latents against scipy's truncated normal distribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from scipy import stats

from lightning_gans.errors import InputError
from lightning_gans.priors import DynamicScale, FixedScale, Normal, Prior, Uniform, truncate


@pytest.mark.parametrize("bound", [0.04, 0.7, 2.0])
@pytest.mark.parametrize(
    "make",
    [
        partial(Normal, mean=1.0, std=2.0),
        partial(DynamicScale, base=partial(Normal, std=2.0)),
        FixedScale,
    ],
    ids=["shifted", "dynamic", "traced"],
)
def test_truncated_latents_follow_the_truncated_normal(
    make: Callable[[int], Prior], bound: float
) -> None:
    prior = make(40)
    mean, std = prior.mean, prior.variance**0.5
    random = torch.Generator().manual_seed(0)
    z = prior.sample(500, random)
    found = truncate(prior, z, bound, random)
    scaled = (found.flatten().double().numpy() - mean) / std
    assert abs(scaled).max() <= bound * (1 + 1e-6)
    assert stats.kstest(scaled, stats.truncnorm(-bound, bound).cdf).pvalue > 0.01
    is_within = (z - mean).abs() <= bound * std
    assert torch.equal(found[is_within], z[is_within]), "typical elements keep their values"
    assert not (found == z)[~is_within].any()


def test_as_many_numbers_are_drawn_whatever_the_bound() -> None:
    after = []
    for bound in (1e-9, 0.5, 50.0):
        random = torch.Generator().manual_seed(0)
        found = truncate(Normal(8), Normal(8).sample(3, random), bound, random)
        assert found.isfinite().all()
        after.append(float(torch.rand(1, generator=random)))
    assert after[0] == after[1] == after[2]


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_leaves_nothing_is_refused(bound: float) -> None:
    with pytest.raises(InputError, match="positive bound"):
        truncate(Normal(2), torch.zeros(1, 2), bound)


def test_another_prior_is_refused_by_its_name() -> None:
    with pytest.raises(InputError, match=r"defined for normal latents.*Uniform"):
        truncate(DynamicScale(2, base=Uniform), torch.zeros(1, 2), 1.0)
