"""Which images each process sees, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler


class EpochShuffle(DistributedSampler[int]):
    """Every index once an epoch, in an order that depends only on (seed, epoch).

    No other random stream is used, so that the number of latents drawn does not change the order of
    the images. In training, the position follows from the number of iterations, and nothing has to
    be saved: a run that stopped anywhere, even within an epoch, resumes with the images that it
    would have seen.

    Processes share the batches of one order: together they see what one process with their total
    batch size would see. A last, partial batch is dropped.

    It is a DistributedSampler because Lightning would otherwise replace it by its own, which
    shuffles again and repeats images to make the shares equal.

    Args:
        length: how many indices, at least 0.
        seed: which sequence of orders, at least 0.
        batch_size: indices in an iteration, of all processes together; a positive multiple of
            ``processes``.
        iterations: returns the number of iterations so far. None, or 0 iterations, starts the epoch
            that was set with ``set_epoch``.
        rank: of this process.
        processes: how many there are.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        batch_size: int = 1,
        iterations: Callable[[], int] | None = None,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be at least 0, got {length} and {seed}")
        if batch_size < 1 or batch_size % processes:
            raise ValueError(
                f"batch_size must be at least 1 and a multiple of {processes} processes, "
                f"got {batch_size}"
            )
        super().__init__(cast(Dataset[Any], range(length)), processes, rank, shuffle=False)
        self.length = length
        self.seed = seed
        self.batch_size = batch_size
        self.iterations = iterations

    def __len__(self) -> int:
        return self.length // self.batch_size * (self.batch_size // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        made = self.iterations() if self.iterations is not None else 0
        epoch, seen = divmod(made, max(1, self.length // self.batch_size))
        if not made:
            epoch = self.epoch
        # with their sum, epoch 1 of seed 0 would equal epoch 0 of seed 1
        mixed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        order = torch.randperm(self.length, generator=generator).tolist()
        whole = order[seen * self.batch_size : self.length // self.batch_size * self.batch_size]
        yield from whole[self.rank :: self.num_replicas]


class Share(DistributedSampler[int]):
    """Every ``processes``-th index, in order; all processes together see each index exactly once.

    Stock samplers repeat indices to make the shares equal, so that two processes would measure 14
    images where there are 13.

    Args:
        length: how many indices.
        rank: of this process.
        processes: how many there are.
    """

    def __init__(self, length: int, rank: int = 0, processes: int = 1) -> None:
        super().__init__(cast(Dataset[Any], range(length)), processes, rank, shuffle=False)
        self.length = length

    def __len__(self) -> int:
        return len(range(self.rank, self.length, self.num_replicas))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, self.length, self.num_replicas))
