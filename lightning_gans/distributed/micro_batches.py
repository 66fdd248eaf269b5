"""A batch that passes through the networks in parts, to train with more rows than memory holds.

Gradients of players that take turns cannot be summed over successive batches: what one player's
turn sees depends on the steps that the others made before. So each part of a batch runs the whole
iteration, and wherever something of all rows is due, which is the end of a turn or a mean over
rows, it waits until the other parts have come as far. A part is to a batch what a process is to a
run: what processes share, parts share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TypeVar

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor

T = TypeVar("T")


class MicroBatch:
    """A part of a batch, by which an iteration meets the other parts; alone, it is the batch.

    Args:
        index: which part it is, from 0.
    """

    def __init__(self, index: int = 0) -> None:
        self.index = index

    @property
    def first(self) -> bool:
        """Whether no other part is here yet."""
        return self.index == 0

    @property
    def last(self) -> bool:
        """Whether all other parts were here."""
        return True

    @property
    def count(self) -> int:
        """How many parts the batch has."""
        return 1

    def gather(self, value: Tensor) -> list[Tensor]:
        """What the parts up to this one gave; to the last, what all gave."""
        return [value]

    def wait(self) -> None:
        """Go on when all parts are here."""

    def total(self, value: Tensor) -> Tensor:
        """The sum of what all parts give."""
        return value


_ALONE = MicroBatch()


class _Waiting(MicroBatch):
    """One of several parts, each run by a coroutine that hands over to the others."""

    def __init__(self, index: int, others: list[_Waiting]) -> None:
        super().__init__(index)
        self.others = others  # all parts, this one too
        self.given: list[Tensor] = []
        self.conductor = getcurrent()

    @property
    def last(self) -> bool:
        return self is self.others[-1]

    @property
    def count(self) -> int:
        return len(self.others)

    def gather(self, value: Tensor) -> list[Tensor]:
        # a new list each time: some part may still have to read the one before
        self.given = [] if self.first else self.others[0].given
        self.given.append(value)
        return self.given

    def wait(self) -> None:
        # torch sees one thread, and has one mode for all parts
        mode = torch.is_grad_enabled()
        self.conductor.switch()
        torch.set_grad_enabled(mode)

    def total(self, value: Tensor) -> Tensor:
        given = self.gather(value)
        self.wait()
        return torch.stack(given).sum(0)


# which part runs is a property of the thread, as torch's modes are
_thread = threading.local()


def current() -> MicroBatch:
    """The part of a batch that is running."""
    found: MicroBatch = getattr(_thread, "part", _ALONE)
    return found


def rows(n: int) -> str:
    """In words, what has ``n`` rows: a batch, or the part of one that is running."""
    count = current().count
    return f"a batch of {n}" + (f" (one of {count} parts)" if count > 1 else "")


def in_step(work: Callable[[T], object], batches: Sequence[T]) -> None:
    """Do the same work on each part; where one waits, the next goes on.

    One runs at a time, in their order. If one raises, the others end where they wait.

    Raises:
        RuntimeError: if some parts ended while others wait, so that they did not do the same; or
            if this is a part already.
    """
    if current() is not _ALONE:
        raise RuntimeError("a part of a batch cannot be cut into parts again")
    parts: list[_Waiting] = []
    for i in range(len(batches)):
        parts.append(_Waiting(i, parts))
    running = [greenlet(partial(work, batch)) for batch in batches]
    for coroutine in running:
        coroutine.gr_context = copy_context()
    mode = torch.is_grad_enabled()
    try:
        while running and not any(coroutine.dead for coroutine in running):
            for part, coroutine in zip(parts, running, strict=True):
                _thread.part = part
                coroutine.switch()
                torch.set_grad_enabled(mode)
        if not all(coroutine.dead for coroutine in running):
            raise RuntimeError("parts of a batch wait for others that have ended")
    finally:
        for coroutine in running:
            if not coroutine.dead:
                coroutine.throw()  # it ends where it waits
        torch.set_grad_enabled(mode)
        _thread.part = _ALONE
        parts.clear()  # they know each other
