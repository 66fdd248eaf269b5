"""Scores by the likelihood of the code that an encoder recovers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Encodes, ScoresOOD
from lightning_gans.ood.scores.inputs import check_finite, check_rows
from lightning_gans.ood.scores.score import ForwardPasses, Score
from lightning_gans.priors import Traced


def latent_nll(code: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """-log N(code; mean, variance), summed over elements: AnoDLSGAN's score (thesis, Eq. 37).

    Closed form, all constants included. It is finite as long as the squared deviations are, up to
    1e19 standard deviations in float32; the logarithm of a density that underflows is infinite
    from 14 on.

    Args:
        code: what the encoder recovers, unscaled, (n, L).
        mean: of the elements: a number, (L,), or (n, L).
        variance: likewise, positive; the traced v of the prior, or what an encoder predicts.

    Returns:
        (n,), in nats.

    Raises:
        InputError: for other shapes, non-finite values, or a variance that is not positive.
    """
    squares, variance = _standardized(code, mean, variance)
    return 0.5 * (squares + variance.log() + math.log(2 * math.pi)).sum(1)


def typicality(code: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """How far the latent NLL is from its expectation, the entropy of N(mean, variance).

    A likelihood is highest at the mean, but in many dimensions hardly any draw lies there: a blank
    image whose code is nearly 0 would be the least anomalous of all. Draws have a value of about
    √(L/2), whether they are closer to the mean than usual or farther away (Nalisnick et al. 2019;
    not in the thesis).

    The expectation holds for codes of this mean and variance. If codes of held-out images have
    another NLL on average, |NLL - theirs| is the better score.

    Args:
        code: what the encoder recovers, unscaled, (n, L).
        mean: of the elements: a number, (L,), or (n, L).
        variance: likewise, positive.

    Returns:
        (n,), in nats, not negative.

    Raises:
        InputError: as :func:`latent_nll`.
    """
    squares, _ = _standardized(code, mean, variance)
    return 0.5 * (squares - 1).sum(1).abs()  # logarithms cancel: the entropy is that of squares 1


def _standardized(
    code: Tensor, mean: Tensor | float, variance: Tensor | float
) -> tuple[Tensor, Tensor]:
    """The squared deviations in units of the variance, (n, L), and the variance as a tensor."""
    code = check_rows(code, "codes")
    m, v = (torch.as_tensor(t, dtype=code.dtype, device=code.device) for t in (mean, variance))
    for values, name in ((m, "mean"), (v, "variance")):
        if values.shape not in {torch.Size(), code.shape[1:], code.shape}:
            raise InputError(
                f"expected a {name} that is a number, (L,) or (n, L) for codes (n, L) of shape "
                f"{tuple(code.shape)}, got {tuple(values.shape)}"
            )
        check_finite(values, name)
    if not (v > 0).all():
        raise InputError(f"expected a variance above 0, got {v.min():.4g}")
    return (code - m).square() / v, v


def traces_variance(model: Model) -> bool:
    """Whether a model's prior is normal and traces the variance of the codes of its own encoder."""
    # an Encoder's prior may hold a v too, but of another network's codes: it does not score OOD
    return (
        isinstance(model, ScoresOOD) and isinstance(model.prior, Traced) and model.prior.is_normal
    )


def traced(passes: ForwardPasses) -> Traced:
    """The prior of a model for which :func:`traces_variance` holds."""
    assert isinstance(passes.prior, Traced)
    return passes.prior


class LatentNLL(Score):
    """``nll``: :func:`latent_nll` of the unscaled code under the traced variance."""

    name = "nll"
    needs_traced_variance = True

    def applies_to(self, model: Model) -> bool:
        return traces_variance(model)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        prior = traced(passes)
        return latent_nll(passes.encoding.code, prior.mean, prior.v)


class Typicality(Score):
    """``typicality``: :func:`typicality` of the unscaled code under the traced variance."""

    name = "typicality"
    needs_traced_variance = True

    def applies_to(self, model: Model) -> bool:
        return traces_variance(model)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        prior = traced(passes)
        return typicality(passes.encoding.code, prior.mean, prior.v)


class PredictedNLL(Score):
    """``nll_own``: :func:`latent_nll` under the variance that the encoder predicts by image."""

    name = "nll_own"

    def applies_to(self, model: Model) -> bool:
        return traces_variance(model) and isinstance(model, Encodes) and model.predicts_variance

    def __call__(self, passes: ForwardPasses) -> Tensor:
        variance = passes.encoding.variance
        assert variance is not None
        return latent_nll(passes.encoding.code, passes.prior.mean, variance)


SCORES: tuple[Score, ...] = (LatentNLL(), Typicality(), PredictedNLL())
