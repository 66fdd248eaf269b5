"""Scores by the difference between images and their reconstructions."""

from __future__ import annotations

import math

from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Reconstructs
from lightning_gans.ood.scores.inputs import at_least_float32, check_finite
from lightning_gans.ood.scores.score import ForwardPasses, Score


def reconstruction_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference of images and their reconstructions, (n, ...) to (n,).

    The thesis compares pixels that are not clipped.

    Raises:
        InputError: if the shapes differ, an image has no elements, or values are non-finite.
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
        InputError: if the shapes differ, an image has no elements, or values are non-finite.
    """
    return _mean_square(a, b, "features of images and of reconstructions")


def _mean_square(a: Tensor, b: Tensor, what: str) -> Tensor:
    if a.shape != b.shape or a.ndim < 2 or not math.prod(a.shape[1:]):
        raise InputError(
            f"expected {what} of one shape (n, ...), got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    check_finite(a, what)
    check_finite(b, what)
    return (at_least_float32(a) - at_least_float32(b)).square().flatten(1).mean(1)


class ReconstructionError(Score):
    """``reconstruction``: :func:`reconstruction_error`, which takes a pass of the generator."""

    name = "reconstruction"

    def applies_to(self, model: Model) -> bool:
        return isinstance(model, Reconstructs)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        return reconstruction_error(passes.x, passes.reconstruction)


class FeatureError(Score):
    """``feature_error``: :func:`feature_error`, which takes a second pass of the encoder."""

    name = "feature_error"
    by_default = False

    def applies_to(self, model: Model) -> bool:
        return isinstance(model, Reconstructs)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        return feature_error(passes.encoding.features, passes.reencoding.features)


SCORES: tuple[Score, ...] = (ReconstructionError(), FeatureError())
