"""How strange single images are, from what a model makes of them: higher is stranger.

Pure functions of codes, logits, features or images, in the precision of these, but float32 at
least. None of them knows the training images; what a value means, held-out ones tell.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError


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
        InputError: for other shapes, numbers that are not finite, or a variance not above 0.
    """
    squares, variance = _standardised(code, mean, variance)
    return 0.5 * (squares + variance.log() + math.log(2 * math.pi)).sum(1)


def typicality(code: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    """How far the latent NLL is from its expectation, the entropy of N(mean, variance).

    A likelihood is highest at the mean, where of many elements hardly any draw is: a blank image
    whose code is nearly 0 would be the most normal of all. Draws have a value of about √(L/2), be
    they on the near or the far side (Nalisnick et al. 2019; not in the thesis).

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
    squares, _ = _standardised(code, mean, variance)
    return 0.5 * (squares - 1).sum(1).abs()  # logarithms cancel: the entropy is that of squares 1


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-T log Σ exp(logit / T), (n, K) to (n,): a classifier's energy (Liu et al. 2020).

    Raises:
        InputError: for logits of another shape or not finite, or a temperature not above 0.
    """
    logits = _rows(logits, "logits")
    if not 0 < temperature < math.inf:
        raise InputError(f"expected a temperature above 0, got {temperature}")
    return -temperature * (logits / temperature).logsumexp(1)


def maximum_softmax(logits: Tensor) -> Tensor:
    """1 - the highest class probability, (n, K) to (n,) (Hendrycks and Gimpel 2017).

    As the sum of the others: the difference to 1 of a confident classifier would be rounded to 0.

    Raises:
        InputError: for logits of another shape or not finite.
    """
    logits = _rows(logits, "logits")
    best = logits.max(1, keepdim=True)
    others = (logits - best.values).exp().scatter(1, best.indices, 0).sum(1)
    return others / (1 + others)


def react(features: Tensor, threshold: float) -> Tensor:
    """Features clipped from above, any shape: what ReAct gives the last layer (Sun et al. 2021).

    Raises:
        InputError: for a threshold that is NaN.
    """
    if math.isnan(threshold):
        raise InputError("expected a number as the threshold of ReAct, got NaN")
    return features.clamp(max=float(threshold))


def react_threshold(features: Tensor, percentile: float = 0.9) -> float:
    """The value that this share of all features lies below, interpolated, as Sun et al. 2021.

    Take features of training images: those of ID test images, which the thesis's experiments
    used, are not there when a detector is set up. At 1 it clips at the highest feature seen, which
    is not the same as not to clip: features of OOD images may be higher.

    Args:
        features: any shape, all elements count alike.
        percentile: as a share, in [0, 1].

    Raises:
        InputError: for features that are none or not finite, or a share out of range.
    """
    if not 0 <= percentile <= 1:
        raise InputError(f"expected a percentile as a share in [0, 1], as 0.9, got {percentile}")
    _check_finite(features, "features")
    if not features.numel():
        raise InputError("expected features to find a threshold among, got none")
    # torch.quantile of older releases takes no more than 2²⁴ elements
    return float(np.quantile(_wide(features.detach()).cpu().numpy(), percentile))


def reconstruction_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of images and their reconstructions, (n, ...) to (n,).

    The thesis's score of pixels: neither is clipped.

    Raises:
        InputError: if the shapes differ, have no elements in a row, or numbers are not finite.
    """
    return _mean_square(x, y, "images and reconstructions")


def feature_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of the features of images and of their reconstructions.

    Args:
        a: of images, (n, F) or (n, ...).
        b: of their reconstructions, by the same network, the same shape.

    Returns:
        (n,).

    Raises:
        InputError: if the shapes differ, have no elements in a row, or numbers are not finite.
    """
    return _mean_square(a, b, "features of images and of reconstructions")


def _mean_square(a: Tensor, b: Tensor, what: str) -> Tensor:
    if a.shape != b.shape or a.ndim < 2 or not math.prod(a.shape[1:]):
        raise InputError(
            f"expected {what} of one shape (n, ...), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    _check_finite(a, what)
    _check_finite(b, what)
    return (_wide(a) - _wide(b)).square().flatten(1).mean(1)


def _standardised(
    code: Tensor, mean: Tensor | float, variance: Tensor | float
) -> tuple[Tensor, Tensor]:
    """The squared deviations in units of the variance, (n, L), and the variance as a tensor."""
    code = _rows(code, "codes")
    m, v = (torch.as_tensor(t, dtype=code.dtype, device=code.device) for t in (mean, variance))
    for values, name in ((m, "mean"), (v, "variance")):
        if values.shape not in {torch.Size(), code.shape[1:], code.shape}:
            raise InputError(
                f"expected a {name} that is a number, (L,) or (n, L) for codes (n, L) of shape "
                f"{tuple(code.shape)}, got {tuple(values.shape)}"
            )
        _check_finite(values, name)
    if not (v > 0).all():
        raise InputError(f"expected a variance above 0, got {v.min():.4g}")
    return (code - m).square() / v, v


def _rows(values: Tensor, what: str) -> Tensor:
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"expected {what} of shape (n, k), got {tuple(values.shape)}")
    _check_finite(values, what)
    return _wide(values)


def _wide(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_finite(values: Tensor, what: str) -> None:
    if not values.is_floating_point():
        raise InputError(f"expected {what} of floating type, got {values.dtype}")
    if not values.isfinite().all():
        raise InputError(f"expected {what} of finite numbers, got some that are NaN or infinite")
