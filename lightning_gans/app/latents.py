"""The latent that a page shows: its image, and the elements of it that have a slider."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from lightning_gans.app.images import Pixels, picture
from lightning_gans.models import Decodes, Generates, Reconstructs
from lightning_gans.text import printable

Latent: TypeAlias = list[float]
"""The latent of one browser's page, as plain numbers."""

# how many elements of the latent have a slider
SLIDERS = 5
# the share of draws that have an element beyond the ends of its slider
BEYOND = 1e-6


class Position(NamedTuple):
    """A slider: where it stands, and its ends."""

    value: float
    low: float
    high: float


def draw(model: Decodes) -> Latent:
    """A latent to show first: drawn, or zero if none can be."""
    z = model.prior.sample(1)
    found: Latent = (z if isinstance(model, Generates) else torch.zeros_like(z))[0].tolist()
    return found


def encode(model: Reconstructs, x: Tensor) -> Latent:
    """The latent of an image, (1, *image_shape)."""
    found: Latent = model.encode(x.to(model.prior.device))[0].tolist()
    return found


def as_batch(model: Decodes, latent: Latent) -> Tensor:
    """A latent as the model takes it, (1, latent_dim)."""
    return torch.tensor([latent], device=model.prior.device)


def condition(model: Decodes, category: Sequence[int]) -> Tensor | None:
    """The condition of a category, (1, sum(classes)); None if the model has no categories."""
    return None if model.categories is None else model.categories.condition(category, 1)


def decoded(model: Decodes, latent: Latent, category: Sequence[int] = ()) -> Tensor:
    """The image of a latent in a category, (1, *image_shape)."""
    return model.decode(as_batch(model, latent), condition(model, category))


def moved(model: Decodes, latent: Latent, values: Sequence[float]) -> Latent:
    """A latent with its leading elements set to values; the given latent is left as it is."""
    found = list(latent)
    for i, value in zip(leading(model, len(values)), values, strict=True):
        found[i] = float(value)
    return found


def edited(
    model: Decodes, latent: Latent, values: Sequence[float], category: Sequence[int] = ()
) -> Pixels:
    """The image of a latent with its leading elements set to values.

    Args:
        model: that decodes it.
        latent: to edit; it is left as it is.
        values: of the leading elements.
        category: the class of each label, for a class-conditional model.
    """
    return picture(decoded(model, moved(model, latent, values), category))


def leading(model: Decodes, count: int = SLIDERS) -> list[int]:
    """The elements of the latent with the largest scale, the largest first."""
    found: list[int] = model.prior.scale().argsort(descending=True, stable=True)[:count].tolist()
    return found


def positions(model: Decodes, latent: Latent) -> list[Position]:
    """The sliders of the leading elements.

    They reach as far as draws of the prior do, and farther if an element of this latent does: an
    encoder may put an image where no draw is.
    """
    lows, highs = reach(model)
    return [
        Position(latent[i], min(lows[i], latent[i]), max(highs[i], latent[i]))
        for i in leading(model)
    ]


def reach(model: Decodes) -> tuple[Latent, Latent]:
    """The ends of each element: all but a share ``BEYOND`` of draws are between all of them."""
    prior = model.prior
    tail = BEYOND / (2 * min(SLIDERS, prior.dim))
    like = prior.sample(1).double()
    with torch.no_grad():
        ends = [prior.icdf(torch.full_like(like, u)) for u in (tail, 1 - tail)]
    # no slider reaches to the ends of a Cauchy distribution
    low, high = (end.clamp(-1000, 1000).expand_as(like)[0].tolist() for end in ends)
    return low, high


def ends(position: Position) -> tuple[float, float]:
    """The ends of a slider as they are shown, with two digits.

    >>> ends(Position(0.0, -5.1993, 5.1993))
    (-5.2, 5.2)
    """
    return math.floor(100 * position.low) / 100, math.ceil(100 * position.high) / 100


def step(position: Position) -> float:
    """The step of a slider: a power of ten, at most a thousandth of its length.

    >>> step(Position(0.0, -5.2, 5.2)), step(Position(0.0, -0.25, 0.25))
    (0.01, 0.0001)
    """
    thousandth = (position.high - position.low) / 1000
    return float(f"1e{math.floor(math.log10(max(thousandth, 1e-6)))}")


def rounded(value: float, step: float) -> float:
    """A value with the digits that a slider's step can move, and one more.

    >>> rounded(-1.6231544, 0.01), rounded(1234.56789, 10.0)
    (-1.623, 1235.0)
    """
    return round(value, max(0, 1 - math.floor(math.log10(step))))


def category_choices(model: Decodes) -> list[list[tuple[str, int]]]:
    """For each label of a class-conditional model, its classes by name, or by number."""
    if model.categories is None:
        return []
    classes, names = model.categories.classes, model.class_names or ()
    if tuple(map(len, names)) != classes:
        names = tuple(tuple(map(str, range(k))) for k in classes)
    return [[(printable(name), i) for i, name in enumerate(label)] for label in names]
