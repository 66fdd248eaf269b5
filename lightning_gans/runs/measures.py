"""What measures mean: which way is better, and in words. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Arrow: TypeAlias = Literal["↑", "↓", ""]
"""Where values are better; empty if neither way is."""

# by the part of a measure's name before the slash: which way is better, and what it says
WORDS: Mapping[str, tuple[Arrow, str]] = {
    "fid": ("↓", "distance of the samples' distribution from that of held-out images"),
    "kid": ("↓", "another such distance, unbiased for few images"),
    "precision": ("↑", "share of samples that look like held-out images"),
    "recall": ("↑", "share of held-out images that the samples cover"),
    "density": ("↑", "how densely samples lie among held-out images"),
    "coverage": ("↑", "share of held-out images with a sample nearby"),
    "psnr": ("↑", "signal to noise of reconstructions, in dB"),
    "ssim": ("↑", "structural similarity of reconstructions, at most 1"),
    "lpips": ("↓", "perceptual distance of reconstructions"),
    "latent/loss": ("↓", "error of recovered latents of samples"),
    "latent/entropy": ("", "entropy of the scaled latent, in nats"),
    "latent/active": ("", "elements of the latent that carry information"),
    "categories/entropy": ("", "entropy of the categories, in nats"),
    "categories/used": ("", "categories with a probability of at least 1 %"),
    "cluster": ("↑", "share of images whose label is the commonest of their category"),
    "accuracy": ("↑", "share of labels predicted correctly"),
}
# how many times the lowest value of a distance is the highest, for its axis to be logarithmic
WIDE = 10
OF = {"real": "held-out images", "fake": "samples"}


def described(name: str) -> tuple[Arrow, str]:
    """The arrow and the words of a measure; empty if it is not one of the package's."""
    kind, _, of = name.partition("/")
    arrow, words = WORDS.get(name) or WORDS.get(kind) or ("", "")
    return arrow, f"{words} (of {OF[of]})" if words and of in OF else words


class Point(NamedTuple):
    """A value of a measure, and the iteration after which it was measured."""

    step: int
    value: float


@dataclass(frozen=True)
class Measured:
    """A measure over a run.

    Attributes:
        name: such as ``fid/random``.
        better: where its values are better.
        first: the first value.
        best: the best finite value, at the earliest iteration; None if neither way is better.
        last: the last value.
    """

    name: str
    better: Arrow
    first: Point
    best: Point | None
    last: Point


def measured(name: str, steps: Sequence[float], values: Sequence[float]) -> Measured:
    """A measure over a run, from its iterations and values, in order and at least one.

    >>> measured("fid/random", [0, 5, 9], [3.0, 1.0, 2.0]).best
    Point(step=5, value=1.0)
    """
    better = described(name)[0]
    points = points_of(zip(steps, values, strict=True))
    return Measured(name, better, points[0], best_of(points, better), points[-1])


def points_of(pairs: Iterable[tuple[float, float]]) -> list[Point]:
    """The points of a curve, from its iterations and values."""
    return [Point(int(step), value) for step, value in pairs]


def best_of(points: Sequence[Point], better: Arrow) -> Point | None:
    """The first of the best finite points; None if there is none, or neither way is better."""
    usable = [point for point in points if math.isfinite(point.value)]
    if not better or not usable:
        return None
    return (max if better == "↑" else min)(usable, key=lambda point: point.value)


def is_wide(values: Sequence[float], better: Arrow) -> bool:
    """Whether an axis is to be logarithmic: for distances that fall by an order of magnitude.

    >>> is_wide([2000, 50], "↓"), is_wide([0.01, 0.9], "↑"), is_wide([-1, 50], "↓")
    (True, False, False)
    """
    there = [value for value in values if math.isfinite(value)]
    return better == "↓" and min(there, default=0) > 0 and max(there) >= WIDE * min(there)


def number(value: float) -> str:
    """Four significant digits; a whole number in full.

    >>> number(1234.0), number(0.12345)
    ('1,234', '0.1235')
    """
    return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
