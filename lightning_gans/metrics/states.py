"""How the states of a metric move between devices: as they are, in their own precision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def device_only(apply: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Keep of what ``Module.to`` applies the move, and leave out the change of dtype.

    A model that is cast to half precision casts the metrics inside it; sums over a data set
    cannot bear that. On a device without float64 (Apple's) float64 states stay where they are.

    Args:
        apply: what ``Module._apply`` hands down.
    """

    def move(state: Tensor) -> Tensor:
        device = apply(torch.zeros((), device=state.device)).device
        if device.type == "mps" and state.dtype == torch.float64:
            return state
        return state.to(device)

    return move
