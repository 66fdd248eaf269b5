"""The order in which the training images are seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochShuffle(Sampler[int]):
    """Every index once an epoch, in an order that depends on (seed, epoch) and on nothing else.

    No other random stream is read or moved, so that drawing other latents leaves the order of the
    images as it was. Lightning calls ``set_epoch`` at the start of each epoch.

    Args:
        length: how many indices, at least 0.
        seed: which sequence of orders, at least 0.
    """

    def __init__(self, length: int, seed: int = 0) -> None:
        super().__init__()
        if length < 0 or seed < 0:
            raise ValueError(f"length and seed must be at least 0, got {length} and {seed}")
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch ``epoch`` (from 0) for the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        # a sum of both would show epoch 1 of seed 0 again as epoch 0 of seed 1
        mixed = int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        yield from torch.randperm(self.length, generator=generator).tolist()
