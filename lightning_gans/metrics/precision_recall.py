"""Precision, recall, density and coverage: which images lie on the other sample's manifold."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.metrics.pairwise import PairwiseMetric
from lightning_gans.metrics.tiles import Sample, tiles_between, tiles_within
from lightning_gans.metrics.two_sample import TooFewSamples
from lightning_gans.metrics.work_sharing import Team
from lightning_gans.ranges import PositiveInt, checked

# two computations of one distance differ by about the rounding error of the squared lengths
_ROUNDING = 1e-13


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
        most = max(self.k, density_k)
        # distances come from products, which lose the fewest digits around a common centre
        real.origin = fake.origin = (real.mean() + fake.mean()) / 2
        near = _nearest(real, most, team)
        real_radii, dense_radii = near[:, self.k - 1, None], near[:, density_k - 1, None]
        fake_radii = _nearest(fake, self.k, team)[:, self.k - 1]

        on_real = real_radii.new_zeros(len(fake), dtype=torch.int64)
        on_fake, covered = on_real.new_zeros(len(real)), on_real.new_zeros(len(real))
        balls = on_real.new_zeros(1)
        for tile in tiles_between(real, fake, team):
            distances = _squared_distances(tile.left, tile.right)
            lengths = tile.left.square().sum(1, keepdim=True) + tile.right.square().sum(1)
            distances -= lengths.mul_(_ROUNDING)
            on_real[tile.columns] += (distances <= real_radii[tile.rows]).any(0)
            on_fake[tile.rows] += (distances <= fake_radii[tile.columns]).any(1)
            inside = distances <= dense_radii[tile.rows]
            covered[tile.rows] += inside.any(1)
            balls += inside.sum()
        counts = team.sum(torch.cat([on_real, on_fake, covered, balls]))
        on_real, on_fake, covered, balls = torch.split(counts, [len(fake), len(real), len(real), 1])
        values = {
            "precision": (on_real > 0).double().mean(),
            "recall": (on_fake > 0).double().mean(),
            "density": balls[0].double() / (self.density_k * len(fake)),
            "coverage": (covered > 0).double().mean(),
        }
        return values if dense else {name: values[name] for name in ("precision", "recall")}


def _nearest(sample: Sample, k: int, team: Team) -> Tensor:
    """Squared distances of each vector to its k nearest others, (N, k), in ascending order."""
    assert sample.origin is not None
    near = sample.origin.new_full((len(sample), k), torch.inf)
    for tile in tiles_within(sample, team):
        distances = _squared_distances(tile.left, tile.right)
        if tile.rows == tile.columns:
            distances.fill_diagonal_(torch.inf)
        else:
            near[tile.columns] = _least(
                torch.cat([near[tile.columns], _least(distances, k, 0).T], 1), k
            )
        near[tile.rows] = _least(torch.cat([near[tile.rows], _least(distances, k)], 1), k)
    # the nearest neighbours are among those found by each process
    return _least(torch.cat(list(team.stack(near)), 1), k)


def _least(distances: Tensor, k: int, dim: int = 1) -> Tensor:
    k = min(k, distances.shape[dim])
    return distances.topk(k, dim, largest=False, sorted=True).values


def _squared_distances(queries: Tensor, sample: Tensor) -> Tensor:
    # |q|² + |s|² - 2 q·s, (Q, S)
    lengths = queries.square().sum(1, keepdim=True) + sample.square().sum(1)
    return lengths.addmm_(queries, sample.T, alpha=-2)
