"""The features through which ``evaluate`` compares images."""

from __future__ import annotations

from pathlib import Path

import torch

from lightning_gans.errors import UserError
from lightning_gans.metrics import (
    DigitFeatures,
    FeatureExtractor,
    FeaturesUnavailable,
    InceptionFeatures,
    RandomFeatures,
)
from lightning_gans.metrics.random_network import SMALLEST

INCEPTION_WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
GREY_DIGITS = {(1, 28, 28), (1, 32, 32)}


def image_features(
    requested: FeatureExtractor | None,
    shape: tuple[int, ...],
    device: torch.device,
    digits: bool = False,
) -> tuple[FeatureExtractor, str]:
    """The extractor, prepared, and a line that says which it is and why.

    Inception if its weights are on this machine, otherwise features that need no download. Only an
    extractor that was asked for may download its weights.

    Args:
        requested: by the user; None if they leave the choice.
        shape: of an image.
        device: of the extractor.
        digits: whether the images are known to be handwritten digits.

    Raises:
        UserError: if weights are missing, or no features without a download fit the images.
    """
    chosen, why = (requested, "as requested") if requested is not None else choice(shape, digits)
    try:
        chosen.prepare(device)
    except FeaturesUnavailable as error:
        raise UserError(str(error)) from error
    return chosen, f"features: {chosen.name}, {why}"


def choice(shape: tuple[int, ...], digits: bool = False) -> tuple[FeatureExtractor, str]:
    """The extractor for images of a shape if none is requested, and why.

    That of digits is for digits alone: of other images it sees what is not there.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_WEIGHTS
    if file.is_file():
        return InceptionFeatures(str(file)), "whose weights are on this machine"
    missing = f"Inception's weights are not at {file}; features=inception_features downloads them"
    may_be_digits = tuple(shape) in GREY_DIGITS
    if may_be_digits and digits:
        return DigitFeatures(), f"made for digits: {missing}"
    if may_be_digits:
        missing += "; for handwritten digits give features=digit_features"
    if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= SMALLEST:
        return RandomFeatures(), f"of a random network, for images of any kind: {missing}"
    raise UserError(f"no features fit images of shape {tuple(shape)} without a download: {missing}")
