"""Squared distances between vectors: fast ones with a bound on their error, and exact ones.

Products in float32 take half the time of those in float64. They decide almost every comparison of
two distances, because their error is bounded; pairs for which the bound leaves a comparison open
are computed again in float64.

With n summands added one after another, each rounded by at most u = 2⁻²⁴ of itself, a product of
two vectors is wrong by at most about n·u·|x|·|y| ≤ n·u·(|x|² + |y|²)/2, whatever the order
(Higham 2002, section 3.1). The squared distance |x|² + |y|² - 2x·y therefore is wrong by at most
ε·(|x|² + |y|²) with ε = 2(n + 10)·u, which has room for the rounding of the vectors, their lengths
and the last sums. Since |y| ≤ |x| + distance, the bound can be told from one of the vectors alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.metrics.tiles import Sample, Tile

# products are added in pieces of so many summands, which makes the bound smaller
_SUMMANDS = 512
# two computations of one distance in float64 differ by about this share of the squared lengths
_ROUNDING = 1e-13
# how many numbers of pairs are in memory at once
_NUMBERS = 2_000_000
# how many entries of a row are compared by their minimum
_RUN = 64
# how many rows of a tile are listed at once
_STRIP = 512


class Centred:
    """A sample around an origin, in a unit in which no vector is too long for float32.

    Args:
        sample: of at least one vector.
        origin: (F,), float64, which is subtracted; near the mean, the fewest digits are lost.
        unit: by which vectors are divided; a power of two, so that this is exact.

    Attributes:
        lengths: the squared length of each vector, (N,), float64.
    """

    def __init__(self, sample: Sample, origin: Tensor, unit: float) -> None:
        self.sample, self.unit = sample, unit
        # rounded, so that float32 vectors minus the origin are rounded once, and not twice
        single = origin.float()
        usable = bool((single.abs() < 1e30).all()) and unit == 1
        self.origin = single.double() if usable else origin
        self._single = single if usable else None
        self.lengths = torch.cat(
            [self.rows(where).square_().sum(1, dtype=torch.float64) for where in self.blocks]
        )

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def blocks(self) -> list[slice]:
        """The rows of each block; the last may have fewer."""
        return self.sample.blocks

    def rows(self, where: slice) -> Tensor:
        """Vectors from ``where.start`` to ``where.stop``, (n, F), float32."""
        stored = self.sample.stored(where)
        if self._single is not None and stored.dtype == torch.float32:
            return stored.to(self._single.device) - self._single
        return self._shifted(self.sample.rows(where)).float()

    def wide_rows(self, where: slice) -> Tensor:
        """As :meth:`rows`, in float64."""
        return self._shifted(self.sample.rows(where))

    def chosen(self, indices: Tensor) -> Tensor:
        """Vectors of these indices (n,), in their order, (n, F), float64."""
        return self._shifted(self.sample.chosen(indices))

    def _shifted(self, rows: Tensor) -> Tensor:
        return rows.sub_(self.origin).div_(self.unit)


def centred(*samples: Sample) -> list[Centred]:
    """Samples around the mean of their means, in a unit of about their longest vector."""
    origin = torch.stack([sample.mean() for sample in samples]).mean(0)
    most = max(float(part.abs().max()) for sample in samples for part in sample.parts)
    # squares of numbers of this size, and their sums, are far from the limits of float32
    usual = 2.0**-30 < most < 2.0**30
    unit = 1.0 if usual or most == 0 else 2.0 ** math.frexp(most)[1]
    return [Centred(sample, origin, unit) for sample in samples]


class Bound:
    """What a squared distance in float32 says of the exact one.

    Args:
        width: F, the number of elements of a vector.
    """

    def __init__(self, width: int) -> None:
        summands = min(width, _SUMMANDS) + -(-width // _SUMMANDS)
        # twice, because a product may be added to the lengths one summand after another
        self.share = 2.2 * (summands + 10) * 2**-24
        # of numbers that are too small for float32
        self.least = width * 2.0**-120

    def low(self, distances: Tensor, lengths: Tensor) -> Tensor:
        """The least that distances can be; both float64, squared, of equal or broadcast shape."""
        return (distances - self._slack(lengths)) / (1 + 2 * self.share)

    def high(self, distances: Tensor, lengths: Tensor) -> Tensor:
        """The most that they can be."""
        return (distances + self._slack(lengths)) / (1 - 2 * self.share)

    def surely_within(self, radii: Tensor, lengths: Tensor) -> Tensor:
        """The largest distance in float32 that is within a radius for certain."""
        return radii * (1 - 2 * self.share) - self._slack(lengths)

    def maybe_within(self, radii: Tensor, lengths: Tensor) -> Tensor:
        """The largest distance in float32 that can be within a radius."""
        return radii * (1 + 2 * self.share) + self._slack(lengths)

    def _slack(self, lengths: Tensor) -> Tensor:
        return 3 * self.share * lengths + self.least


class TileDistances:
    """All squared distances of a tile, in float32, as exact as :class:`Bound` says.

    The first tile shows whether float32 is what it should be: with TF32 or bfloat16, which a
    setting of torch's or of its libraries allows for products, all are computed in float64.

    Args:
        first: the vectors of the rows.
        second: those of the columns.
        bound: of the error.
    """

    def __init__(self, first: Centred, second: Centred, bound: Bound) -> None:
        self.first, self.second, self.bound = first, second, bound
        self.single: bool | None = None

    def of(self, tile: Tile) -> Tensor:
        """The distances of a tile, (rows, columns)."""
        rows, columns = self.first.lengths[tile.rows], self.second.lengths[tile.columns]
        if self.single is not False:
            found = rows.float()[:, None] + columns.float()
            for start in range(0, tile.left.shape[1], _SUMMANDS):
                piece = slice(start, start + _SUMMANDS)
                found.addmm_(tile.left[:, piece], tile.right[:, piece].T, alpha=-2)
            if self.single is None:
                few = slice(0, 256)
                exact = wide_distances(tile.left[few].double(), tile.right[few].double())
                most = self.bound.share * (rows[few, None] + columns[few]) + self.bound.least
                self.single = bool(((found[few, few] - exact).abs() <= most).all())
            if self.single:
                return found
        return wide_distances(tile.left.double(), tile.right.double()).float()


def wide_distances(left: Tensor, right: Tensor) -> Tensor:
    """All squared distances of vectors in float64, (n, m)."""
    lengths = left.square().sum(1, keepdim=True) + right.square().sum(1)
    return lengths.addmm_(left, right.T, alpha=-2)


def pair_distances(first: Centred, i: Tensor, second: Centred, j: Tensor) -> Tensor:
    """The exact squared distance of each pair of vectors i (n,) and j (n,), (n,), float64."""
    size = max(1, _NUMBERS // max(1, first.sample.width))
    parts = [
        (first.chosen(left) - second.chosen(right)).square_().sum(1)
        for left, right in zip(torch.split(i, size), torch.split(j, size), strict=True)
    ]
    return torch.cat(parts)


class Members(NamedTuple):
    """Which vectors are in some balls.

    Attributes:
        centres: numbers of the balls, n of them.
        filled: whether each ball has a vector in it, (n,) bool.
        inside: whether each of the other vectors of the tile is in one of these balls, (m,) bool.
        pairs: how many pairs of a ball and a vector in it there are, int64 scalar.
    """

    centres: slice
    filled: Tensor
    inside: Tensor
    pairs: Tensor


class Balls:
    """Closed balls around vectors, and whether vectors of another sample are in them.

    Args:
        centres: of the balls.
        radii: squared, (N,), float64.
        others: the other sample, around the same origin and in the same unit.
        bound: of the error of distances in float32.
    """

    def __init__(self, centres: Centred, radii: Tensor, others: Centred, bound: Bound) -> None:
        self.centres, self.others = centres, others
        self.radii = radii / centres.unit**2
        self._surely = bound.surely_within(self.radii, centres.lengths).float()
        self._maybe = bound.maybe_within(self.radii, centres.lengths).float()

    def members(self, distances: Tensor, row: int, column: int) -> Iterator[Members]:
        """Which vectors of a tile are in a ball, a few balls at a time.

        Args:
            distances: squared, of balls (n,) to the other sample's vectors (m,), float32.
            row: the number of the first ball.
            column: the number of the first vector.
        """
        for first, strip in strips(distances):
            balls = slice(row + first, row + first + len(strip))
            surely, maybe = self._surely[balls, None], self._maybe[balls]
            filled = strip.new_zeros(len(strip), dtype=torch.bool)
            inside = strip.new_zeros(strip.shape[1], dtype=torch.bool)
            count = strip.new_zeros((), dtype=torch.int64)
            if is_crowded(strip, maybe):
                sure = strip <= surely
                filled, inside, count = sure.any(1), sure.any(0), sure.count_nonzero()
                i, j = ((strip <= maybe[:, None]) ^ sure).nonzero(as_tuple=True)
            else:
                i, j = entries_below(strip, maybe)
            within = self._contain(i + balls.start, j + column, strip[i, j])
            filled[i[within]] = True
            inside[j[within]] = True
            yield Members(balls, filled, inside, count + within.count_nonzero())

    def _contain(self, i: Tensor, j: Tensor, distances: Tensor) -> Tensor:
        """Whether the balls i contain the vectors j, at these distances in float32, (n,) bool."""
        found = distances <= self._surely[i]
        (unsure,) = (~found & (distances <= self._maybe[i])).nonzero(as_tuple=True)
        if len(unsure):
            i, j = i[unsure], j[unsure]
            exact = pair_distances(self.centres, i, self.others, j)
            exact -= _ROUNDING * (self.centres.lengths[i] + self.others.lengths[j])
            found[unsure] = exact <= self.radii[i]
        return found


def is_crowded(tile: Tensor, limits: Tensor) -> bool:
    """Whether more entries of a tile (n, m) are below their row's limit than are worth a list."""
    few = tile[:, ::_RUN]
    return int((few < limits[:, None]).count_nonzero()) * 50 > few.numel()


def entries_below(tile: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """The rows and columns of the entries of a tile (n, m) that are below their row's limit.

    In the order of the rows. Few entries are, so that the least of each run of entries is compared
    first: a minimum takes a tenth of the time of a comparison whose result is written down.
    """
    count = tile.shape[1] // _RUN
    whole = torch.unflatten(tile[:, : count * _RUN], 1, (count, _RUN))
    row, run = (whole.amin(2) < limits[:, None]).nonzero(as_tuple=True)
    entry, inside = (whole[row, run] < limits[row, None]).nonzero(as_tuple=True)
    rows, columns = row[entry], run[entry] * _RUN + inside
    if count * _RUN < tile.shape[1]:
        rest = (tile[:, count * _RUN :] < limits[:, None]).nonzero(as_tuple=True)
        rows, order = torch.cat([rows, rest[0]]).sort(stable=True)
        columns = torch.cat([columns, rest[1] + count * _RUN])[order]
    return rows, columns


def strips(tile: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Some rows of a tile at a time, and the first one's number: what is listed of them is less."""
    for start in range(0, len(tile), _STRIP):
        yield start, tile[start : start + _STRIP]
