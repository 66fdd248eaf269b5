"""Signals that end a run: noticed when they come, obeyed when an iteration is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning_gans.runs import scheduler

STOP = (signal.SIGINT, signal.SIGTERM)
# by convention what SLURM is asked to send before a job's time is over; Windows has none
REQUEUE: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGUSR1",) if hasattr(signal, name)
)


class Signals:
    """Catches Ctrl-C and SIGTERM, and under SLURM SIGUSR1, until they are given back.

    A handler that saves or talks to other processes at once may do so within an optimiser's step,
    or while they talk of something else; so it only takes a note.

    Args:
        second: what a second Ctrl-C does.

    Attributes:
        caught: the first signal that came, if one did.
    """

    def __init__(self, second: Callable[[], None]) -> None:
        self.second = second
        self.caught: signal.Signals | None = None
        self.replaced: dict[signal.Signals, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread hears signals
        wanted = STOP + (REQUEUE if scheduler.job() is not None else ())
        self.replaced = {number: signal.signal(number, self._note) for number in wanted}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.caught == signal.SIGINT:
            self.second()
        # to be told to stop says more than to be told that there is little time left
        if self.caught is None or number in STOP:
            self.caught = signal.Signals(number)

    def give_back(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self.replaced.items():
            signal.signal(number, handler)
        self.replaced = {}
