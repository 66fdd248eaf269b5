"""The processes that compute one result together, and what they send each other.

Every method is called by all processes at the same place, or by none.
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
    """Shares work out, and puts the parts together; the default is one process, alone.

    Attributes:
        rank: of this process.
        size: how many processes there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def of_all(cls) -> Team:
        """All processes that train together."""
        return (
            cls(distributed.get_rank(), distributed.get_world_size()) if is_distributed() else cls()
        )

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """The part of the items that is this process's to do; every item is someone's."""
        return items[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Element by element over the processes, in all of them; the shapes are the same."""
        if self.size > 1:
            values = values.contiguous()
            distributed.all_reduce(values)
        return values

    def stack(self, values: Tensor) -> Tensor:
        """(size, *shape), in the order of the ranks, in all of them; the shapes are the same."""
        if self.size == 1:
            return values.unsqueeze(0)
        found = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(found, values.contiguous())
        return torch.stack(found)


def gather_rows(rows: Tensor, group: distributed.ProcessGroup | None = None) -> list[Tensor]:
    """The rows (n, F) of every process in the order of the ranks, n of each its own.

    One process after the other sends its own, so that nothing is padded and nothing is there
    twice. A process without rows may give any F.

    Args:
        rows: floating point.
        group: none but all processes; torchmetrics hands one down.

    Raises:
        ValueError: if a group is given, or the widths of those who have rows differ.
    """
    if group is not None:
        raise ValueError("the samples of all processes are joined: leave process_group out")
    if not is_distributed():
        return [rows]
    forms = all_gather_object((len(rows), rows.shape[1], rows.dtype))
    widths = sorted({width for count, width, _ in forms if count})
    if len(widths) > 1:
        raise ValueError(f"the processes have features of different widths {widths}: use the same")
    found: list[Tensor] = []
    for rank, (count, width, dtype) in enumerate(forms):
        mine = rank == distributed.get_rank()
        part = rows.contiguous() if mine else rows.new_empty((count, width), dtype=dtype)
        if count:
            distributed.broadcast(part, src=rank)
        found.append(part)
    return found
