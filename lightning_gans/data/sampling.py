"""Which images each process sees, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler


class EpochShuffle(DistributedSampler[int]):
    """Every index once an epoch, in an order that depends on (seed, epoch) and on nothing else.

    No other random stream is read or moved, so that drawing other latents leaves the order of the
    images as it was. In training, what comes next follows from the iterations made, and from
    nothing that would have to be saved: a run that was stopped anywhere, within an epoch too, goes
    on with the images it would have seen.

    Processes share each batch of one order: what they see together is what one process with as
    large a batch would see. A last batch that is not whole is left out.

    It is a DistributedSampler so that Lightning does not put one of its own in the way, which
    would shuffle again, and repeat images to make shares even.

    Args:
        length: how many indices, at least 0.
        seed: which sequence of orders, at least 0.
        batch_size: indices that an iteration takes in all processes together, at least 1, and as
            many in each.
        iterations: tells the iterations made so far. Where none are counted, every pass is a
            whole epoch, the one that was set.
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
        # a sum of both would show epoch 1 of seed 0 again as epoch 0 of seed 1
        mixed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        order = torch.randperm(self.length, generator=generator).tolist()
        whole = order[seen * self.batch_size : self.length // self.batch_size * self.batch_size]
        yield from whole[self.rank :: self.num_replicas]


class Share(DistributedSampler[int]):
    """Every so many-th index, in order: all processes together see each exactly once.

    Nothing is repeated to make the shares even, as stock samplers do: of 13 images that two
    processes measure, 14 would be counted.

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
