"""Gaussian clusters in the plane, whose distribution is known exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.data_module import DataModule
from lightning_gans.data.tensors import Batch
from lightning_gans.ranges import (
    BatchSize,
    ExampleCount,
    NonNegativeFloat,
    PositiveFloat,
    Seed,
    Workers,
    checked,
)


class Points(Dataset[Batch]):
    """Points in memory: x (n, d) float32, y (n,) int64."""

    def __init__(self, points: Tensor, labels: Tensor) -> None:
        self.points = points
        self.labels = labels

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Batch:
        return self.points[index], self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch in one gather."""
        chosen = torch.as_tensor(indices)
        return self.points[chosen], self.labels[chosen]


class Gaussians(DataModule):
    """Isotropic normal clusters in the plane; ``y`` is the cluster that a point is from.

    The defaults are the four clusters of the thesis with its unbiased class probabilities; for the
    biased ones, set ``weights=(0.4, 0.3, 0.2, 0.1)``.

    Args:
        centres: of the clusters, (x, y) each.
        weights: probability of each cluster; positive, with sum 1.
        std: standard deviation of each cluster in both directions, at least 0.
        train: how many points to train on.
        validation: how many points to validate on.
        seed: of the points' own random stream; one seed gives the same data on every machine.
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Raises:
        ValueError: if an argument is out of its range.
    """

    image_shape = (2,)

    @checked
    def __init__(
        self,
        *,
        centres: tuple[tuple[float, float], ...] = ((-1, 1), (0, -2), (1, -1), (2, 1)),
        weights: tuple[PositiveFloat, ...] = (0.1, 0.2, 0.3, 0.4),
        std: NonNegativeFloat = 0.3,
        train: ExampleCount = 100_000,
        validation: ExampleCount = 10_000,
        seed: Seed = 0,
        batch_size: BatchSize = 32,
        workers: Workers = 0,
    ) -> None:
        super().__init__(batch_size, workers)
        if len(weights) != len(centres):
            raise ValueError(f"{len(centres)} centres but {len(weights)} weights")
        if min(weights, default=0) <= 0 or not math.isclose(sum(weights), 1, abs_tol=1e-6):
            raise ValueError(f"weights must be positive and sum to 1, got {tuple(weights)}")
        self.centres = centres
        self.weights = weights
        self.std = std
        self.train = train
        self.validation = validation
        self.seed = seed

    @property
    def classes(self) -> tuple[int, ...]:
        """One label, the cluster."""
        return (len(self.centres),)

    def setup(self, stage: str | None = None) -> None:
        """Draw the points, once."""
        if hasattr(self, "train_set"):
            return
        # two generators: the number of training points does not change the validation points
        self.train_set = self._draw(self.train, 2 * self.seed)
        self.validation_set = self._draw(self.validation, 2 * self.seed + 1)

    def _draw(self, n: int, seed: int) -> Points:
        generator = torch.Generator().manual_seed(seed)
        centres, weights = (
            torch.tensor(values, dtype=torch.float32) for values in (self.centres, self.weights)
        )
        y = torch.multinomial(weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, 2, generator=generator)
        return Points(centres[y] + self.std * noise, y)
