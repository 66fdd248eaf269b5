"""Measures of class-conditional models of digits (thesis, section 4.1)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_gans.errors import InputError
from lightning_gans.metrics.digit_classifier import trained_digit_classifier
from lightning_gans.models import Generates
from lightning_gans.models.base.load import load
from lightning_gans.ranges import PositiveInt
from lightning_gans.rng import stream

CLASSES = 10
BATCH = 200
SIDE = 32  # of the images that the classifier of digits takes


def conditional(run: Path, images: PositiveInt = 500) -> dict[str, float]:
    """How well a model makes the digit that it is asked for.

    The FID of each class is measured by ``ClassDistance`` in each evaluation.

    Args:
        run: of a model with the labels of the digits.
        images: how many are generated of each class.

    Returns:
        right, the share of images that the shipped digit classifier takes for the digit that was
        asked for; zeros, the share of images that it takes for a 0, a tenth if the conditions are
        followed.
    """
    model = load(run)
    if not isinstance(model, Generates) or model.categories is None:
        raise InputError(f"{run}: expected a class-conditional model, got {type(model).__name__}")
    classify = trained_digit_classifier()
    random = stream("digits", 0)
    right, zeros = 0, 0
    with torch.no_grad():
        for digit in range(CLASSES):
            fakes = generated(model, digit, images, random)
            found = torch.cat([classify(part).argmax(1) for part in torch.split(fakes, BATCH)])
            right += int((found == digit).sum())
            zeros += int((found == 0).sum())
    total = CLASSES * images
    return {"right": right / total, "zeros": zeros / total}


def generated(model: Generates, digit: int, n: int, random: torch.Generator) -> Tensor:
    """Images (n, 1, 32, 32) in [-1, 1] of one digit; smaller ones get a black border."""
    assert model.categories is not None
    parts = []
    for start in range(0, n, BATCH):
        count = min(BATCH, n - start)
        c = model.categories.condition([digit], count)
        parts.append(model.decode(model.prior.sample(count, random), c).clamp(-1, 1))
    images = torch.cat(parts)
    border = (SIDE - images.shape[-1]) // 2
    return pad(images, (border,) * 4, value=-1.0)
