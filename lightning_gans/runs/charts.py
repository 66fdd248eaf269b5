"""Charts of a run as lines to draw: scales, ticks, thinned points. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lightning_gans.runs.measures import Arrow, best_of, described, is_wide, number, points_of

# of a chart, in units of its own; a browser scales it to its column
WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 10, 34
# a line of more points is thinned: a chart has fewer pixels
MOST_POINTS = 1000
# a line of fewer points has a dot at each
DOTS = 40
# values beyond this are not drawn: their differences could not be computed
LARGEST = 1e100
# times the smallest value of a loss that its largest one must be, for its axis to be logarithmic
WIDE_LOSS = 100


class Tick(NamedTuple):
    """A mark of an axis: where it is, and its text."""

    place: float
    text: str


class Scale(NamedTuple):
    """From values to places on an axis.

    Attributes:
        low, high: the values at the ends of the axis; positive on a logarithmic one.
        start, end: the places of these.
        logarithmic: whether equal distances are equal ratios.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value is, to a tenth of a unit.

        >>> Scale(0, 10, 0, 100).place(5), Scale(1, 100, 0, 100, True).place(10)
        (50.0, 50.0)
        """
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[Tick]:
        """Round values on the axis."""
        return [Tick(self.place(value), short(value)) for value in round_values(self)]


@dataclass(frozen=True)
class Line:
    """A curve of a chart.

    Attributes:
        label: of what it is.
        steps, values: its points, at most :data:`MOST_POINTS`, in order; None for a value that
            cannot be drawn.
        parts: for each part without a gap, the places of its points as SVG has them.
        dots: the places of points to mark.
    """

    label: str
    steps: Sequence[int]
    values: Sequence[float | None]
    parts: Sequence[str]
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart of one or several curves.

    Attributes:
        name: of the quantity.
        better: where its values are better.
        words: what it says; empty if unknown.
        x, y: the two axes.
        x_title: of the horizontal axis.
        lines: the curves, that of the run itself first.
        best: the place of the best value of the first curve; None if neither way is better.
        summary: the chart in words, for who cannot see it.
        gaps: how many values could not be drawn.
    """

    name: str
    better: Arrow
    words: str
    x: Scale
    y: Scale
    x_title: str
    lines: Sequence[Line]
    best: tuple[float, float] | None
    summary: str
    gaps: int

    def data(self) -> dict[str, object]:
        """What a page needs to read values off the chart, as plain data."""
        return {
            "name": self.name,
            "unit": self.x_title,
            "x": self.x._asdict(),
            "y": self.y._asdict(),
            "lines": [
                {"label": line.label, "steps": line.steps, "values": line.values}
                for line in self.lines
            ],
        }


def chart(
    name: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_title: str = "iteration",
) -> Chart | None:
    """A chart of the curves of a quantity; None if there is nothing to draw.

    Args:
        name: of the quantity, as it is logged.
        curves: by label, the (steps, values) of each; that of the run itself first.
        x_title: of the horizontal axis.
    """
    better, words = described(name)
    usable = {label: usable_points(*curve) for label, curve in curves.items()}
    steps = [step for found in usable.values() for step, _ in found]
    values = [v for found in usable.values() for _, v in found if v is not None]
    if not values:
        return None
    logarithmic = is_logarithmic(values, better)
    x = Scale(*apart(min(steps), max(steps)), LEFT, WIDTH - RIGHT)
    y = Scale(*padded(min(values), max(values), logarithmic), HEIGHT - BOTTOM, TOP, logarithmic)
    first = next(iter(usable.values()))
    best = best_of(points_of([(s, v) for s, v in first if v is not None]), better)
    return Chart(
        name,
        better,
        words,
        x,
        y,
        x_title,
        [line(label, thinned(found), x, y) for label, found in usable.items()],
        None if best is None else (x.place(best.step), y.place(best.value)),
        in_words(name, first, better, x_title),
        sum(value is None for found in usable.values() for _, value in found),
    )


def usable_points(
    steps: Sequence[float], values: Sequence[float]
) -> list[tuple[int, float | None]]:
    """Points as they are drawn; None for a value that is not finite, or much too large."""
    return [
        (int(step), value if abs(value) <= LARGEST else None)  # NaN is in no order
        for step, value in zip(steps, values, strict=True)
    ]


def is_logarithmic(values: Sequence[float], better: Arrow) -> bool:
    """Whether the axis of a quantity is to be logarithmic.

    That is for distances that fall by an order of magnitude, and for losses by two.

    >>> is_logarithmic([0.1, 12.0], ""), is_logarithmic([0.5, 2.0], ""), is_logarithmic([0, 9], "")
    (True, False, False)
    """
    is_wide_loss = not better and min(values) > 0 and max(values) >= WIDE_LOSS * min(values)
    return is_wide(values, better) or is_wide_loss


def thinned(points: Sequence[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    """At most :data:`MOST_POINTS` of the points, among them the ends, peaks and gaps of the line.

    >>> found = thinned([(i, float(i == 7777)) for i in range(20_000)])
    >>> len(found) <= MOST_POINTS, (7777, 1.0) in found, found[0], found[-1]
    (True, True, (0, 0.0), (19999, 0.0))
    """
    if len(points) <= MOST_POINTS:
        return list(points)
    kept: list[tuple[int, float | None]] = []
    # the ends, and of each bucket its lowest and highest value, and a gap if it has one
    buckets = (MOST_POINTS - 2) // 3
    inner = points[1:-1]
    for bucket in range(buckets):
        start, end = (len(inner) * k // buckets for k in (bucket, bucket + 1))
        part = inner[start:end]
        chosen: list[int] = []
        finite = [(v, i) for i, (_, v) in enumerate(part) if v is not None]
        if finite:
            chosen += [min(finite)[1], max(finite)[1]]
        chosen += [i for i, (_, v) in enumerate(part) if v is None][:1]
        kept += [part[i] for i in sorted(set(chosen))]
    return [points[0], *kept, points[-1]]


def line(label: str, points: Sequence[tuple[int, float | None]], x: Scale, y: Scale) -> Line:
    """A curve with the places of its points."""
    places = [None if v is None else (x.place(s), y.place(v)) for s, v in points]
    parts: list[list[str]] = [[]]
    for place in places:
        if place is None:
            parts.append([])
        else:
            parts[-1].append(f"{place[0]:g},{place[1]:g}")
    # a point between two gaps would be a line without length
    lonely = {text for part in parts if len(part) == 1 for text in part}
    dots = [
        place
        for place in places
        if place is not None and (len(points) < DOTS or f"{place[0]:g},{place[1]:g}" in lonely)
    ]
    return Line(
        label,
        [s for s, _ in points],
        [v for _, v in points],
        [" ".join(part) for part in parts if len(part) > 1],
        dots,
    )


def apart(low: float, high: float) -> tuple[float, float]:
    """Two ends of an axis that are not the same.

    >>> apart(3, 3), apart(0, 9)
    ((2.0, 4.0), (0.0, 9.0))
    """
    by = 0.0 if high > low else max(1.0, 0.1 * abs(low))
    return float(low - by), float(high + by)


def padded(low: float, high: float, logarithmic: bool) -> tuple[float, float]:
    """The ends of an axis of values, with some room beyond them."""
    if logarithmic:
        room = (high / low) ** 0.05
        return low / room, high * room
    if high == low:
        by = 0.1 * abs(low) or 1.0
        return low - by, high + by
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def round_values(scale: Scale) -> list[float]:
    """The values of the marks of an axis, from three to six or so.

    >>> round_values(Scale(-3, 103, 0, 1)), round_values(Scale(2, 3000, 0, 1, True))
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [10.0, 100.0, 1000.0])
    """
    if scale.logarithmic:
        return list(log_values(scale.low, scale.high))
    rough = (scale.high - scale.low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * k for k in (1, 2, 5, 10) if power * k >= rough * (1 - 1e-9))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def log_values(low: float, high: float) -> Iterator[float]:
    """Powers of ten in a range, at most five of them; also 2 and 5 times these if they are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    stride = max(1, math.ceil((last - first + 1) / 5))
    factors = (1, 2, 5) if last - first < 2 else (1,)
    for power in range(first - 1, last + 1, stride if factors == (1,) else 1):
        for factor in factors:
            value = factor * 10.0**power
            if low <= value <= high:
                yield value


def short(value: float) -> str:
    """A mark's text.

    >>> short(5000.0), short(0.1 + 0.2), short(2e6), short(1e-5)
    ('5,000', '0.3', '2M', '1e-05')
    """
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def in_words(
    name: str, points: Sequence[tuple[int, float | None]], better: Arrow, x_title: str
) -> str:
    """A curve in words.

    >>> in_words("fid/random", [(0, 9.0), (5, 2.0), (9, 3.0)], "↓", "iteration")
    'fid/random: 9 at iteration 0, 3 at iteration 9; best 2 at iteration 5'
    """
    found = points_of([(step, value) for step, value in points if value is not None])
    if not found:
        return f"{name}: no finite value"
    ends = [found[0]] if len(found) == 1 else [found[0], found[-1]]
    told = ", ".join(f"{number(p.value)} at {x_title} {p.step:,}" for p in ends)
    best = best_of(found, better) if len(found) > 1 else None
    return f"{name}: {told}" + (
        f"; best {number(best.value)} at {x_title} {best.step:,}" if best is not None else ""
    )
