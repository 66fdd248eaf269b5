"""Signals that end a run: recorded when they arrive, acted on between iterations."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.utils.data import dataloader

from lightning_gans.runs import scheduler


def _named(*names: str) -> tuple[signal.Signals, ...]:
    """The signals of these names that the system has; Windows lacks some."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


# a lost connection, the end that a system or a scheduler asks for, and Ctrl-C; the most urgent last
STOP = _named("SIGHUP", "SIGTERM", "SIGINT")
# by convention, SLURM is asked to send it before a job's time limit
REQUEUE = _named("SIGUSR1")
# seconds after which a request to stop is obeyed also while training waits for data
PATIENCE = 3.0


class StoppedBySignal(SIGTERMException):
    """A signal has ended the run; the exit status is the one by which shells name the signal.

    Args:
        number: of the signal.
        waiting: whether this process did not wait until all of them could stop together.
    """

    def __init__(self, number: int, waiting: bool = False) -> None:
        super().__init__(128 + number)
        self.number, self.waiting = signal.Signals(number), waiting


class Signals:
    """Catches the signals of ``STOP``, and under SLURM SIGUSR1, until ``restore``.

    The handler only records the signal: saving or communicating at once could happen within an
    optimiser's step, or in the middle of another collective call. A signal that is not acted on
    within ``PATIENCE`` seconds ends the run where it waits, if ``waits`` allows it there: a loader
    may never return.

    The death of a process that loads data is an error only where its data are waited for: torch
    would raise it within an iteration.

    Args:
        second: called on a second Ctrl-C.
        waits: whether the run may end at a frame of the main thread.

    Attributes:
        caught: the latest request to stop, otherwise the first SIGUSR1; None if there was neither.
    """

    def __init__(self, second: Callable[[], None], waits: Callable[[FrameType | None], bool]):
        self.second, self.waits = second, waits
        self.caught: signal.Signals | None = None
        self.replaced: dict[signal.Signals, Any] = {}
        self.restored = threading.Event()
        self.reminded = False
        if threading.current_thread() is not threading.main_thread():
            return  # Python handles signals in the main thread only
        for number in STOP + (REQUEUE if scheduler.job() is not None else ()):
            # nohup has the end of the connection ignored
            if not (number in _named("SIGHUP") and signal.getsignal(number) == signal.SIG_IGN):
                self.replaced[number] = signal.signal(number, self._record)
        for number in _named("SIGCHLD"):
            if callable(signal.getsignal(number)):
                self.replaced[number] = signal.signal(number, self._child)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.reminded:
            self.reminded = False
            if self.waits(frame):
                assert self.caught is not None
                raise StoppedBySignal(self.caught, waiting=True)
            return
        if number == signal.SIGINT and self.caught == signal.SIGINT:
            self.second()
        if number in _named("SIGHUP"):
            silence_lost_terminals()
        # a request to stop outranks the warning that time is running out
        if self.caught is None or number in STOP:
            self.caught = signal.Signals(number)
        if number in STOP and hasattr(signal, "pthread_kill"):
            threading.Thread(target=self._remind, args=(number,), daemon=True).start()

    def _remind(self, number: int) -> None:
        """Send the signal again, so that the handler sees where the main thread waits."""
        main = threading.main_thread().ident
        while not self.restored.wait(PATIENCE) and main is not None:
            self.reminded = True
            signal.pthread_kill(main, number)

    def _child(self, number: int, frame: FrameType | None) -> None:
        if in_loader(frame):
            self.replaced[signal.Signals(number)](number, frame)

    def restore(self) -> None:
        """Reinstall the previous handlers."""
        self.restored.set()
        for number, handler in self.replaced.items():
            signal.signal(number, handler)
        self.replaced = {}


def in_loader(frame: FrameType | None) -> bool:
    """Whether a frame of the main thread waits for a batch of a loader."""
    while frame is not None:
        if frame.f_code.co_filename == dataloader.__file__:
            return True
        frame = frame.f_back
    return False


@contextmanager
def stops_at_once() -> Iterator[None]:
    """A request to stop ends the block at once, where nothing has to be saved first.

    Raises:
        StoppedBySignal: for a signal of ``STOP`` other than Ctrl-C.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if number in _named("SIGHUP"):
            silence_lost_terminals()
        raise StoppedBySignal(number)

    replaced: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP:
            if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL:
                replaced[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for caught, handler in replaced.items():
            signal.signal(caught, handler)


def silence_lost_terminals() -> None:
    """Send output nowhere that would go to a terminal or pipe that is gone.

    A progress bar that cannot be written would end an iteration in its middle.
    """
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            assert stream is not None
            descriptor = stream.fileno()
            watch = select.poll()
            watch.register(descriptor, 0)
            if watch.poll(0):  # it only tells of errors
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
