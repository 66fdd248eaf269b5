"""Which images each process sees, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import Dataset, DistributedSampler

from lightning_gans.rng import stream


class EpochShuffle(DistributedSampler[int]):
    """Each index once per epoch, in an order that depends only on (seed, epoch).

    No other random generator is used, so the number of drawn latents does not change the order of
    the images. In training, the position follows from the number of iterations and is not saved: a
    run that stops at any point of an epoch resumes with the next images.

    Processes share the batches of one order: their shares add up to the batch of one process with
    the total batch size. A last, partial batch is dropped.

    It is a DistributedSampler because Lightning would replace any other sampler by its own, which
    shuffles again and repeats images to make the shares equal.

    Args:
        length: the number of indices, at least 0.
        seed: selects the sequence of orders, at least 0.
        batch_size: indices per iteration, summed over all processes; a positive multiple of
            ``processes``.
        iterations: returns the number of iterations so far. None, or 0 iterations, starts the epoch
            that was set with ``set_epoch``.
        rank: of this process.
        processes: the number of processes.
        weights: relative probability of each index, (length,): ``length`` of them are drawn in each
            epoch, with replacement. None gives each once.
        mirrored: whether about half of the indices i, drawn anew in each epoch from a random stream
            of their own, are given as ``length`` + i, which stands for the mirror image of i. The
            order stays as it is without.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        batch_size: int = 1,
        iterations: Callable[[], int] | None = None,
        rank: int = 0,
        processes: int = 1,
        mirrored: bool = False,
        weights: torch.Tensor | None = None,
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
        self.mirrored = mirrored
        self.weights = weights

    def __len__(self) -> int:
        return self.length // self.batch_size * (self.batch_size // self.num_replicas)

    def __iter__(self) -> Iterator[int]:
        done = self.iterations() if self.iterations is not None else 0
        epoch, seen = divmod(done, max(1, self.length // self.batch_size))
        if not done:
            epoch = self.epoch
        # with their sum, epoch 1 of seed 0 would equal epoch 0 of seed 1
        mixed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        if self.weights is None:
            shuffled = torch.randperm(self.length, generator=generator)
        else:
            shuffled = torch.multinomial(self.weights, self.length, True, generator=generator)
        if self.mirrored:
            coins = stream(f"mirrored/{epoch}", self.seed)
            shuffled += self.length * torch.randint(2, (self.length,), generator=coins)
        order = shuffled.tolist()
        remaining = order[seen * self.batch_size : self.length // self.batch_size * self.batch_size]
        yield from remaining[self.rank :: self.num_replicas]


class Share(DistributedSampler[int]):
    """Every ``processes``-th index, in order; each index belongs to exactly one process.

    Stock samplers repeat indices to make the shares equal: with 13 images, two processes would
    evaluate 14.

    Args:
        length: the number of indices.
        rank: of this process.
        processes: the number of processes.
    """

    def __init__(self, length: int, rank: int = 0, processes: int = 1) -> None:
        super().__init__(cast(Dataset[Any], range(length)), processes, rank, shuffle=False)
        self.length = length

    def __len__(self) -> int:
        return len(range(self.rank, self.length, self.num_replicas))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, self.length, self.num_replicas))
