"""Signals that end a run: recorded when they arrive, acted on between iterations."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning_gans.runs import scheduler

STOP = (signal.SIGINT, signal.SIGTERM)
# by convention, SLURM is asked to send it before a job's time limit; Windows has none
REQUEUE: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGUSR1",) if hasattr(signal, name)
)


class Signals:
    """Catches Ctrl-C and SIGTERM, and under SLURM SIGUSR1, until ``restore``.

    The handler only records the signal: saving or communicating at once could happen within an
    optimiser's step, or in the middle of another collective call.

    Args:
        second: called on a second Ctrl-C.

    Attributes:
        caught: the latest request to stop, otherwise the first SIGUSR1; None if there was neither.
    """

    def __init__(self, second: Callable[[], None]) -> None:
        self.second = second
        self.caught: signal.Signals | None = None
        self.replaced: dict[signal.Signals, Any] = {}
        if threading.current_thread() is not threading.main_thread():
            return  # Python handles signals in the main thread only
        wanted = STOP + (REQUEUE if scheduler.job() is not None else ())
        self.replaced = {number: signal.signal(number, self._record) for number in wanted}

    def _record(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.caught == signal.SIGINT:
            self.second()
        # a request to stop outranks the warning that time is running out
        if self.caught is None or number in STOP:
            self.caught = signal.Signals(number)

    def restore(self) -> None:
        """Reinstall the previous handlers."""
        for number, handler in self.replaced.items():
            signal.signal(number, handler)
        self.replaced = {}
