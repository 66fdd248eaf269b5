"""Averages over all processes that train together."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_of_rows(values: Tensor) -> Tensor:
    """Mean over the rows of all processes, (n, d) to (d,); n may differ between processes."""
    total, count = values.sum(0), values.new_tensor([len(values)])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        packed = torch.cat([total, count])
        torch.distributed.all_reduce(packed)
        total, count = packed[:-1], packed[-1:]
    return total / count
