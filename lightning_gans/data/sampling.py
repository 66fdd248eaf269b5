"""The order in which the training images are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochShuffle(Sampler[int]):
    """Every index once an epoch, in an order that depends on (seed, epoch) and on nothing else.

    No other random stream is read or moved, so that drawing other latents leaves the order of the
    images as it was. In training, what comes next follows from the iterations made, and from
    nothing that would have to be saved: a run that was stopped anywhere, within an epoch too, goes
    on with the images it would have seen.

    Args:
        length: how many indices, at least 0.
        seed: which sequence of orders, at least 0.
        batch_size: indices that an iteration takes, at least 1.
        iterations: tells the iterations made so far. Where none are counted, every pass is a
            whole epoch, the one that was set.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        batch_size: int = 1,
        iterations: Callable[[], int] | None = None,
    ) -> None:
        super().__init__()
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be at least 0, got {length} and {seed}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.length = length
        self.seed = seed
        self.batch_size = batch_size
        self.iterations = iterations
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch ``epoch`` (from 0), where no iterations are counted."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        made = self.iterations() if self.iterations is not None else 0
        epoch, seen = divmod(made, max(1, self.length // self.batch_size))
        if not made:
            epoch = self.epoch
        # a sum of both would show epoch 1 of seed 0 again as epoch 0 of seed 1
        mixed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        order = torch.randperm(self.length, generator=generator).tolist()
        yield from order[seen * self.batch_size :]
