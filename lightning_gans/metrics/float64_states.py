"""Metrics whose states keep their own precision."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric


class Float64Metric(Metric, ABC):
    """A metric whose states follow its device but not its dtype.

    Casting a model to half precision also casts the metrics in it, and sums over a data set lose
    too many digits that way. On a device without float64 (Apple's), float64 states stay where they
    are.
    """

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        def move(state: Tensor) -> Tensor:
            device = fn(torch.zeros((), device=state.device)).device
            if device.type == "mps" and state.dtype == torch.float64:
                return state
            return state.to(device)

        return super()._apply(move, exclude_state)
