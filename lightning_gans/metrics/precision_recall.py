"""Precision, recall, density and coverage: which images lie on the other sample's manifold."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.bounded_distances import Balls, Bound, TileDistances, centred
from lightning_gans.metrics.neighbours import neighbour_distances
from lightning_gans.metrics.pairwise import PairwiseMetric
from lightning_gans.metrics.tiles import tiles_between
from lightning_gans.metrics.two_sample import TooFewSamples
from lightning_gans.ranges import PositiveInt, checked


class PrecisionRecall(PairwiseMetric):
    """Precision, recall, density and coverage of fakes, from one pass over all distances.

    The manifold of a sample is the union of closed balls around its vectors, each with the distance
    to the vector's k-th nearest neighbour (not counting itself) as its radius.

    Precision is the share of fakes on the real manifold, recall the share of reals on the fake
    manifold. Density is the mean number of real balls that a fake lies in, divided by k; coverage
    is the share of real balls that contain a fake. The ideal value of all four is 1; density can
    exceed it.

    Several processes share the distances, and their result is that of one process.

    Source: Kynkäänniemi et al. 2019, Eq. 1 and 2; Naeem et al. 2020, Eq. 5 and 6, whose code uses
    open balls.

    Args:
        k: which nearest neighbour gives the radius for precision and recall, at least 1.
        density_k: the same for density and coverage.
        block: how many vectors of one sample are compared with as many of another at a time; this
            takes about ``4 * block * (block + F)`` float64 numbers.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it is
            collected once in a run.

    Raises:
        ValueError: if a k or block is not positive.
    """

    higher_is_better = True

    @checked
    def __init__(
        self,
        k: PositiveInt = 3,
        block: PositiveInt = 2048,
        reset_real: bool = True,
        density_k: PositiveInt = 5,
    ) -> None:
        super().__init__(block, reset_real)
        self.k = k
        self.density_k = density_k

    def compute(self) -> dict[str, Tensor]:
        """``precision``, ``recall``, ``density`` and ``coverage``, float64 scalars.

        The last two are left out if there are no more real vectors than ``density_k``.

        Raises:
            TooFewSamples: if a sample has no more vectors than ``k``.
            ValueError: if the widths of the two differ.
        """
        real, fake, team = self.samples()
        if min(len(real), len(fake)) <= self.k:
            raise TooFewSamples(
                f"precision and recall with k={self.k} need at least {self.k + 1} real and fake "
                f"samples, got {len(real)} real and {len(fake)} fake"
            )
        dense = len(real) > self.density_k
        density_k = self.density_k if dense else self.k
        # around its own mean, even a sample that has collapsed is not far from the origin
        (own,) = centred(real)
        real_radii, dense_radii = neighbour_distances(own, [self.k, density_k], team).unbind(1)
        (own,) = centred(fake)
        (fake_radii,) = neighbour_distances(own, [self.k], team).unbind(1)
        reals, fakes = centred(real, fake)
        bound = Bound(real.width)
        real_balls = Balls(reals, real_radii, fakes, bound)
        dense_balls = Balls(reals, dense_radii, fakes, bound)
        fake_balls = Balls(fakes, fake_radii, reals, bound)

        on_real = reals.lengths.new_zeros(len(fake), dtype=torch.int64)
        on_fake, covered = on_real.new_zeros(len(real)), on_real.new_zeros(len(real))
        balls = on_real.new_zeros(1)
        distances = TileDistances(reals, fakes, bound)
        for tile in tiles_between(reals, fakes, team):
            found = distances.of(tile)
            rows, columns = tile.rows.start, tile.columns.start
            for near in real_balls.members(found, rows, columns):
                on_real[tile.columns] += near.inside
            for near in dense_balls.members(found, rows, columns):
                covered[near.centres] += near.filled
                balls += near.pairs
            for near in fake_balls.members(found.T, columns, rows):
                on_fake[tile.rows] += near.inside
        counts = team.sum(torch.cat([on_real, on_fake, covered, balls]))
        on_real, on_fake, covered, balls = torch.split(counts, [len(fake), len(real), len(real), 1])
        values = {
            "precision": (on_real > 0).double().mean(),
            "recall": (on_fake > 0).double().mean(),
            "density": balls[0].double() / (self.density_k * len(fake)),
            "coverage": (covered > 0).double().mean(),
        }
        return values if dense else {name: values[name] for name in ("precision", "recall")}
