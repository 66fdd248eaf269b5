"""A mean over everything that was given, summed in float64: what several measures are."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_gans.metrics.states import device_only


class Average(Metric, ABC):
    """Sum and count, reduced over processes; a subclass adds to them in ``update``."""

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Take in values of any shape and precision."""
        self.total += values.to(self.total.device).double().sum()
        self.count += values.numel()

    def compute(self) -> Tensor:
        """The mean, float64 scalar.

        Raises:
            ValueError: if nothing was given.
        """
        if self.count == 0:
            raise ValueError(f"{type(self).__name__} was given nothing: update before compute")
        return self.total / self.count

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        return super()._apply(device_only(fn), exclude_state)
