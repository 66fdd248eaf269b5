"""How several processes share the computation of one result.

All processes must call a method at the same point, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

from lightning_gans.distributed.collectives import all_gather_object, is_distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Divides work among processes and combines their parts; by default, a single process.

    Attributes:
        rank: of this process.
        size: how many processes there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def of_all(cls) -> Team:
        """All processes of this training."""
        return (
            cls(distributed.get_rank(), distributed.get_world_size()) if is_distributed() else cls()
        )

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The items of this process; every item is some process's."""
        return items[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """The elementwise sum over all processes, returned to each; the shapes must be equal."""
        if self.size > 1:
            values = values.contiguous()
            distributed.all_reduce(values)
        return values

    def stack(self, values: Tensor) -> Tensor:
        """The values of all ranks, (size, *shape), returned to each; the shapes must be equal."""
        if self.size == 1:
            return values.unsqueeze(0)
        found = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(found, values.contiguous())
        return torch.stack(found)


def gather_rows(rows: Tensor, group: distributed.ProcessGroup | None = None) -> list[Tensor]:
    """The rows (n, F) of every process, in the order of the ranks; each may have its own n.

    Each process broadcasts its rows in turn, so that nothing is padded or stored twice. A process
    without rows may give any F.

    Args:
        rows: of this process, floating point.
        group: None, for all processes; torchmetrics passes this argument.

    Raises:
        ValueError: if a group is given, or the processes that have rows differ in their F.
    """
    if group is not None:
        raise ValueError("the samples of all processes are joined: leave process_group out")
    if not is_distributed():
        return [rows]
    forms = all_gather_object((len(rows), rows.shape[1], rows.dtype))
    widths = sorted({width for count, width, _ in forms if count})
    if len(widths) > 1:
        raise ValueError(f"the processes have features of different widths {widths}")
    found: list[Tensor] = []
    for rank, (count, width, dtype) in enumerate(forms):
        mine = rank == distributed.get_rank()
        part = rows.contiguous() if mine else rows.new_empty((count, width), dtype=dtype)
        if count:
            distributed.broadcast(part, src=rank)
        found.append(part)
    return found
