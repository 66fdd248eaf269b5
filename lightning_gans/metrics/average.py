"""The base of metrics that are a mean, summed in float64."""

from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor

from lightning_gans.metrics.float64_states import Float64Metric


class Average(Float64Metric, ABC):
    """The mean of all values of all processes; a subclass calls ``add`` in ``update``."""

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Add values of any shape and precision."""
        self.total += values.to(self.total.device).double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """The mean, float64 scalar.

        Raises:
            ValueError: if there are no values.
        """
        if self.count == 0:
            raise ValueError(f"{type(self).__name__} has no values: call update before compute")
        return self.total / self.count
