"""How far each vector of a sample is from its nearest others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_gans.metrics.bounded_distances import (
    Bound,
    Centred,
    TileDistances,
    entries_below,
    pair_distances,
    strips,
    wide_distances,
)
from lightning_gans.metrics.tiles import tiles_within
from lightning_gans.metrics.work_sharing import Team

# so many neighbours more than asked for are kept: the nearest in float32 need not be the nearest
_SPARE = 11


def neighbour_distances(points: Centred, ks: Sequence[int], team: Team) -> Tensor:
    """Squared distances of each vector to its k-th nearest other for each k, (N, ks), float64.

    Args:
        points: more vectors than the largest k.
        ks: each at least 1.
        team: shares the work; all processes get the result.
    """
    bound = Bound(points.sample.width)
    near = _candidates(points, max(ks) + _SPARE, bound, team)
    found = near.distances.new_zeros(len(points), len(ks), dtype=torch.float64)
    mine = torch.arange(team.rank, len(points), team.size, device=found.device)
    for rows in torch.split(mine, points.sample.block):
        found[rows] = _settle(points, rows, near.of(rows), ks, bound)
    return team.sum(found) * points.unit**2


class _Nearest:
    """The nearest others of some vectors that have been seen, in ascending order.

    Attributes:
        distances: squared, in float32, (n, k); infinite where there are fewer.
        others: which vectors they are of, (n, k).
    """

    def __init__(self, distances: Tensor, others: Tensor) -> None:
        self.distances, self.others = distances, others

    def of(self, rows: Tensor) -> _Nearest:
        """Those of some rows (n,)."""
        return _Nearest(self.distances[rows], self.others[rows])

    def add(self, where: slice, tile: Tensor, start: int) -> None:
        """Take in the distances of the vectors of a block to those of another.

        Args:
            where: which vectors.
            tile: (n, m); may be a view with swapped dimensions.
            start: the number of the first of the m others.
        """
        for first, strip in strips(tile):
            begin = where.start + first
            self._add(slice(begin, begin + len(strip)), strip, start)

    def _add(self, where: slice, tile: Tensor, start: int) -> None:
        distances, others = self.distances[where], self.others[where]
        limit = distances[:, -1]
        if bool(limit.isinf().any()):
            least = tile.topk(min(distances.shape[1], tile.shape[1]), 1, largest=False)
            new, numbers = least.values, least.indices + start
        else:
            rows, columns = entries_below(tile, limit)
            if not len(rows):
                return
            new, numbers = _by_row(len(tile), rows, tile[rows, columns], columns + start)
        joined = torch.cat([distances, new], 1)
        least = joined.topk(distances.shape[1], 1, largest=False)
        self.distances[where] = least.values
        self.others[where] = torch.cat([others, numbers], 1).gather(1, least.indices)


def _candidates(points: Centred, k: int, bound: Bound, team: Team) -> _Nearest:
    """The nearest others of each vector by distances in float32, from all processes."""
    size = (len(points), min(k, len(points) - 1))
    empty = torch.full(size, torch.inf, device=points.lengths.device)
    near = _Nearest(empty, torch.zeros(size, dtype=torch.int64, device=empty.device))
    distances = TileDistances(points, points, bound)
    for tile in tiles_within(points, team):
        found = distances.of(tile)
        if tile.rows == tile.columns:
            found.fill_diagonal_(torch.inf)
        else:
            near.add(tile.columns, found.T, tile.rows.start)
        near.add(tile.rows, found, tile.columns.start)
    # the nearest are among those found by each process
    joined = torch.cat(list(team.stack(near.distances)), 1)
    others = torch.cat(list(team.stack(near.others)), 1)
    least = joined.topk(size[1], 1, largest=False)
    return _Nearest(least.values, others.gather(1, least.indices))


def _by_row(n: int, rows: Tensor, distances: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Entries, in the order of their rows, as a matrix with a row for each of n; else infinite."""
    counts = rows.bincount(minlength=n)
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    width = int(counts.max())
    found = distances.new_full((n, width), torch.inf)
    found[rows, place] = distances
    where = numbers.new_zeros((n, width))
    where[rows, place] = numbers
    return found, where


def _settle(
    points: Centred, rows: Tensor, near: _Nearest, ks: Sequence[int], bound: Bound
) -> Tensor:
    """The exact distances to the k-th nearest others, (n, ks), from the candidates of some rows."""
    lengths = points.lengths[rows, None]
    distances = near.distances.double()
    low, high = bound.low(distances, lengths), bound.high(distances, lengths)
    # the k-th nearest is one of those which can be as near, and can be as far
    below = [high < low[:, k - 1, None] for k in ks]
    open_ = [~less & (low <= high[:, k - 1, None]) for k, less in zip(ks, below, strict=True)]
    row, place = torch.stack(open_).any(0).nonzero(as_tuple=True)
    exact = torch.full_like(distances, torch.inf)
    exact[row, place] = pair_distances(points, rows[row], points, near.others[row, place])
    kth = [
        torch.where(less, -torch.inf, torch.where(which, exact, torch.inf)).sort(1).values[:, k - 1]
        for k, less, which in zip(ks, below, open_, strict=True)
    ]
    found = torch.stack(kth, 1)
    # those that are not among the candidates are at least as far as the last one can be near
    unsettled = (found > low[:, -1:].clamp(min=0)).any(1) & (distances.shape[1] < len(points) - 1)
    (again,) = unsettled.nonzero(as_tuple=True)
    if len(again):
        found[again] = _all_exact(points, rows[again], ks)
    return found


def _all_exact(points: Centred, rows: Tensor, ks: Sequence[int]) -> Tensor:
    """As :func:`_settle`, from the exact distances to all others."""
    left = points.chosen(rows)
    near = left.new_full((len(rows), max(ks)), torch.inf)
    for columns in points.blocks:
        distances = wide_distances(left, points.wide_rows(columns))
        (own,) = ((columns.start <= rows) & (rows < columns.stop)).nonzero(as_tuple=True)
        distances[own, rows[own] - columns.start] = torch.inf
        near = torch.cat([near, distances], 1).topk(max(ks), 1, largest=False).values
    return near[:, [k - 1 for k in ks]]
