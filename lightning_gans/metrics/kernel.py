"""The kernel distance between two samples of features; KID, with Inception features."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_gans.metrics.pairwise import PairwiseMetric
from lightning_gans.metrics.tiles import (
    Sample,
    count_between,
    count_within,
    tiles_between,
    tiles_within,
)
from lightning_gans.metrics.two_sample import TooFewSamples
from lightning_gans.metrics.work_sharing import Team
from lightning_gans.ranges import PositiveInt, Range, Seed, checked


class KernelDistance(PairwiseMetric):
    """Squared maximum mean discrepancy under the kernel (x·y / F + 1)³, over all pairs.

    This is the unbiased estimate mean k(x, x') + mean k(y, y') - 2 mean k(x, y) over all pairs of
    different vectors: its expectation does not depend on the number of samples, and it can be
    slightly negative. :class:`SubsetKernelDistance` estimates the same quantity; this has less
    variance, since it uses all pairs.

    Several processes share the pairs, and their result is that of one process.

    Source: Bińkowski et al. 2018, section 4; Gretton et al. 2012, Eq. 3.

    Args:
        block: how many vectors of one sample are compared with as many of another at a time; this
            takes about ``4 * block * (block + F)`` float64 numbers.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it is
            collected once in a run.

    Raises:
        ValueError: if block is not positive.
    """

    higher_is_better = False

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            TooFewSamples: if either sample has fewer than two vectors.
            ValueError: if their widths differ.
        """
        real, fake, team = self.samples()
        n, m = len(real), len(fake)
        if min(n, m) < 2:
            raise TooFewSamples(
                f"the kernel distance needs 2 real and 2 fake samples, got {n} real and {m} fake"
            )
        between = _sum_between(real, fake, team) / (n * m)
        own = _sum_within(real, team) / (n * (n - 1)) + _sum_within(fake, team) / (m * (m - 1))
        return own - 2 * between


class Spread(NamedTuple):
    """The distances of random subsets.

    Attributes:
        mean: over the subsets, float64 scalar.
        deviation: standard deviation over the subsets (not of their mean), float64 scalar.
    """

    mean: Tensor
    deviation: Tensor


class SubsetKernelDistance(PairwiseMetric):
    """The mean of :class:`KernelDistance` over random subsets: the protocol of published KIDs.

    The subsets are those of torch-fidelity: for each, it draws fakes and then reals, without
    replacement. They depend on the order of the vectors; with several processes, the vectors of one
    process follow those of another.

    Source: Bińkowski et al. 2018, section 4; Obukhov et al. 2020 (torch-fidelity).

    Args:
        subsets: how many, at least 1.
        size: vectors in each, at least 2.
        seed: of the subsets.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it is
            collected once in a run.

    Raises:
        ValueError: if subsets or size is out of its range.
    """

    higher_is_better = False

    @checked
    def __init__(
        self,
        subsets: PositiveInt = 100,
        size: Annotated[int, Range(2)] = 1000,
        seed: Seed = 2020,
        reset_real: bool = True,
    ) -> None:
        super().__init__(reset_real=reset_real)
        self.subsets = subsets
        self.size = size
        self.seed = seed

    def compute(self) -> Spread:
        """Mean and standard deviation over the subsets.

        Raises:
            TooFewSamples: if either sample has fewer vectors than a subset.
            ValueError: if their widths differ.
        """
        real, fake, team = self.samples()
        if min(len(real), len(fake)) < self.size:
            raise TooFewSamples(
                f"subsets of {self.size} need as many samples, got {len(real)} real and"
                f" {len(fake)} fake; choose a smaller size"
            )
        random = np.random.RandomState(self.seed)
        draws = [
            [random.choice(len(side), self.size, replace=False) for side in (fake, real)]
            for _ in range(self.subsets)
        ]
        values = torch.zeros(self.subsets, dtype=torch.float64, device=real.device)
        for number, (of_fake, of_real) in team.share(list(enumerate(draws))):
            x, y = fake.chosen(torch.from_numpy(of_fake)), real.chosen(torch.from_numpy(of_real))
            values[number] = _unbiased(x, y)
        values = team.sum(values)
        return Spread(values.mean(), values.std(correction=0))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def _unbiased(x: Tensor, y: Tensor) -> Tensor:
    n, m = len(x), len(y)
    own = [_off_diagonal(_kernel(v, v)) / (len(v) * (len(v) - 1)) for v in (x, y)]
    return own[0] + own[1] - 2 * _kernel(x, y).sum() / (n * m)


def _off_diagonal(kernel: Tensor) -> Tensor:
    return kernel.sum() - kernel.trace()


def _sum_between(first: Sample, second: Sample, team: Team) -> Tensor:
    # one number for each tile, summed in a fixed order, so that every number of processes agrees
    sums = torch.zeros(count_between(first, second), dtype=torch.float64, device=first.device)
    for tile in tiles_between(first, second, team):
        sums[tile.number] = _kernel(tile.left, tile.right).sum()
    return team.sum(sums).sum()


def _sum_within(sample: Sample, team: Team) -> Tensor:
    """The sum over all ordered pairs of different vectors."""
    sums = torch.zeros(count_within(sample), dtype=torch.float64, device=sample.device)
    for tile in tiles_within(sample, team):
        kernel = _kernel(tile.left, tile.right)
        sums[tile.number] = _off_diagonal(kernel) if tile.rows == tile.columns else 2 * kernel.sum()
    return team.sum(sums).sum()
