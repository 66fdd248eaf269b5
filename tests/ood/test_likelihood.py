"""The likelihood score (AnoDLSGAN) against torch.distributions, and the traced variance."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal as Gaussian

from lightning_gans.errors import InputError, UserError
from lightning_gans.models import AEDLSGAN, DLSGAN, GAN, PVDGAN, VAEGAN, InfoGAN, ScoresOOD
from lightning_gans.ood import scorer
from lightning_gans.priors import DynamicScale, FixedScale, Normal, Traced, Uniform
from tests.support.rounds import DESCENT, LATENT, SHAPE, TinyDiscriminator, TinyGenerator

Scoring = DLSGAN | InfoGAN | PVDGAN | AEDLSGAN
SCORING: list[type[Scoring]] = [DLSGAN, InfoGAN, PVDGAN, AEDLSGAN]
V = torch.tensor([0.9, 0.03, 1.4], dtype=torch.float64)


def tiny(model: type[Scoring], **options: object) -> Scoring:
    torch.manual_seed(1)
    arguments: dict[str, Any] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        **options,
    }
    if model is AEDLSGAN:
        arguments["classes"] = (2, 2)
    made = model(**arguments).double().eval()
    if isinstance(made.prior, Traced):
        made.prior.v.copy_(V)
    return made


def traced(v: Tensor, prior: type[Traced] = DynamicScale) -> Traced:
    made = prior(len(v)).to(v.dtype)
    made.v.copy_(v)
    return made


@pytest.mark.parametrize("model", SCORING)
@pytest.mark.parametrize("prior", [DynamicScale, FixedScale])
def test_the_score_is_the_likelihood_of_the_unscaled_code(
    model: type[Scoring], prior: type[Traced]
) -> None:
    chosen, x = tiny(model, prior=prior), torch.rand(8, *SHAPE).double() * 2 - 1
    code = chosen.discriminator(x).code[:, :LATENT].detach()
    expected = torch.zeros(8).double()
    for i in range(LATENT):
        expected -= Gaussian(0.0, float(V[i]) ** 0.5).log_prob(code[:, i])
    score = chosen.ood_score(x)
    torch.testing.assert_close(score, expected, rtol=1e-6, atol=0)
    assert not score.requires_grad
    assert "ood_score" in chosen.capabilities


@pytest.mark.parametrize("prior", [DynamicScale, FixedScale])
def test_the_score_is_torchs(prior: type[Traced]) -> None:
    torch.manual_seed(0)
    v = torch.rand(30, dtype=torch.float64) + 1e-4
    code = torch.randn(20, 30, dtype=torch.float64) * 3
    expected = -Gaussian(0.0, v.sqrt()).log_prob(code).sum(1)
    score = traced(v, prior).negative_log_likelihood(code)
    torch.testing.assert_close(score, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_score_grows_at_any_distance(dtype: torch.dtype) -> None:
    """The density underflows at 14 deviations in float32; the closed form does not."""
    prior = traced(torch.tensor([1e-4, 0.5, 1.0], dtype=dtype))
    deviations = torch.tensor([0.0, 1.0, 10.0, 100.0, 1e3, 1e6], dtype=dtype)
    score = prior.negative_log_likelihood(deviations[:, None] * prior.v.sqrt())
    assert score.isfinite().all()
    assert score.dtype == dtype
    # three elements, each this many deviations out
    above = score - score[0]
    torch.testing.assert_close(above, 1.5 * deviations**2, rtol=1e-5, atol=1e-4)


def test_the_score_of_a_float64_code_is_not_rounded_to_a_float32_variance() -> None:
    prior, code = traced(torch.tensor([0.1, 0.7])), torch.tensor([[1.0, 2.0]]).double()
    expected = -Gaussian(0.0, prior.v.double().sqrt()).log_prob(code).sum(1)
    torch.testing.assert_close(prior.negative_log_likelihood(code), expected, rtol=1e-13, atol=0)


def test_the_thesiss_example() -> None:
    """Section 3.3: x_a is less likely than x_b, though one element of x_b is farther out."""
    prior = traced(torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64))
    codes = torch.tensor([[0.1, -0.2, 0.3], [-0.3, 0.2, -0.1]], dtype=torch.float64)
    a, b = prior.negative_log_likelihood(codes)
    # 0.01/1 + 0.04/0.5 + 0.09/0.1 against 0.09/1 + 0.04/0.5 + 0.01/0.1, halved
    torch.testing.assert_close(a - b, torch.tensor((0.99 - 0.27) / 2, dtype=torch.float64))


@pytest.mark.parametrize("model", [DLSGAN, InfoGAN, AEDLSGAN])
def test_a_prior_that_traces_nothing_gives_no_score(model: type[Scoring]) -> None:
    with pytest.raises(UserError, match=f"{model.__name__} .* Normal traces none") as caught:
        tiny(model, prior=Normal).ood_score(torch.zeros(1, *SHAPE).double())
    assert "\n" not in str(caught.value)
    assert "DynamicScale or FixedScale" in str(caught.value)


@pytest.mark.parametrize("model", [DLSGAN, InfoGAN, AEDLSGAN])
@pytest.mark.parametrize("prior", [DynamicScale, FixedScale])
def test_a_prior_that_is_not_normal_gives_no_likelihood(
    model: type[Scoring], prior: type[Traced]
) -> None:
    base = partial(Uniform, low=-1.7, high=1.7)
    chosen, x = tiny(model, prior=partial(prior, base=base)), torch.zeros(2, *SHAPE).double()
    with pytest.raises(InputError, match=f"normal prior.* got {prior.__name__} of Uniform") as told:
        chosen.ood_score(x)
    assert "\n" not in str(told.value)
    names = scorer(chosen).names
    assert not {"nll", "nll_own", "typicality"} & set(names)
    assert "reconstruction" in names
    # wider, it is normal still
    wide = partial(prior, base=partial(Normal, std=3))
    assert "nll" in scorer(tiny(model, prior=wide)).names


@pytest.mark.parametrize("model", [GAN, VAEGAN])
def test_models_without_a_traced_code_do_not_offer_the_score(
    model: type[GAN] | type[VAEGAN],
) -> None:
    assert not issubclass(model, ScoresOOD)
    made = model(SHAPE, latent_dim=LATENT, generator=TinyGenerator, discriminator=TinyDiscriminator)
    with pytest.raises(UserError, match=f"{model.__name__} .*ood_score"):
        _ = made.ood_score


@pytest.mark.parametrize("model", SCORING)
def test_what_cannot_be_scored_is_refused(model: type[Scoring]) -> None:
    chosen = tiny(model)
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        chosen.ood_score(torch.zeros(2, 1, 5, 5).double())
    with pytest.raises(ValueError, match="NaN or infinite"):
        chosen.ood_score(torch.full((1, *SHAPE), torch.nan).double())
    with pytest.raises(ValueError, match=r"latents of shape \(n, 3\), got \(2, 4\)"):
        traced(V).negative_log_likelihood(torch.zeros(2, 4))


@pytest.mark.parametrize("base", [Normal, partial(Uniform, low=-2, high=2), partial(Normal, std=3)])
@pytest.mark.parametrize("prior", [DynamicScale, FixedScale])
def test_a_traced_prior_is_its_base_in_all_else(prior: type[Traced], base: Any) -> None:
    made, plain = prior(4, base=base), base(4)
    z, u = torch.linspace(-1, 1, 8).view(2, 4), torch.linspace(0.1, 0.9, 5)
    first, second = (torch.Generator().manual_seed(3) for _ in range(2))
    assert torch.equal(made.sample(6, first), plain.sample(6, second))
    assert torch.equal(made.log_prob(z), plain.log_prob(z))
    assert torch.equal(made.cdf(z), plain.cdf(z))
    assert torch.equal(made.icdf(u), plain.icdf(u))
    of = [(p.mean, p.variance, p.entropy) for p in (made, plain)]
    assert of[0] == of[1]


def test_a_fixed_scale_traces_and_scales_nothing() -> None:
    prior, codes = FixedScale(3, decay=0.75, start=0.5).double(), torch.randn(8, 3).double()
    prior.update(codes)
    torch.testing.assert_close(prior.v, 0.375 + 0.25 * codes.square().mean(0))
    assert prior.scale().tolist() == [1.0, 1.0, 1.0]
    assert list(prior.state_dict()) == ["v"]
