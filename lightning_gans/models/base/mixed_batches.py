"""Mixed batches: real data and fakes in one batch (thesis, section 3.1.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ranges import PositiveInt, checked


class Mixing(ABC):
    """A schedule of how many rows are exchanged between batches of real data and of fakes."""

    @abstractmethod
    def count(self, n: int, iteration: int) -> int:
        """Rows to exchange in a batch of ``n``, after ``iteration`` iterations; at most n / 2.

        Raises:
            ValueError: if a batch of ``n`` cannot be mixed.
        """


MixingFactory: TypeAlias = Callable[[], Mixing]


class PureBatches(Mixing):
    """Batches are all real or all fake, as usual."""

    def count(self, n: int, iteration: int) -> int:
        return 0


class MixedBatches(Mixing):
    """From pure batches to half real data and half fakes in each.

    A discriminator that sees the whole batch could distinguish real from fake by the classes in it;
    batches of the same mixture leave no such clue. The share rises slowly, because mixed batches
    make the discriminator's task easy while the fakes are poor.

    Args:
        rise: iterations in which the share rises to a half: 100,000 in the thesis, 100 epochs of
            1,000 iterations, in steps of 0.5 %.

    Raises:
        ValueError: if ``rise`` is below 1.
    """

    @checked
    def __init__(self, rise: PositiveInt = 100_000) -> None:
        self.rise = rise

    def count(self, n: int, iteration: int) -> int:
        if n % 2:
            raise InputError(
                f"mixed batches are half real and half fake, got a batch of {n}; choose an even "
                "data.batch_size"
            )
        steps = min(100, 100 * iteration // self.rise)
        return steps * n // 200


def mix(x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Two batches of real x and fakes y with their first ``count`` rows exchanged.

    The first is y with the first rows of x, the second x with those of y; (n, ...) each.
    """
    if count == 0:
        return y, x
    return torch.cat([x[:count], y[count:]]), torch.cat([y[:count], x[count:]])


def unmix(first: Tensor, second: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """What was computed from mixed batches: the real rows and the fakes, in their order."""
    if count == 0:
        return second, first
    return torch.cat([first[:count], second[count:]]), torch.cat([second[:count], first[count:]])
