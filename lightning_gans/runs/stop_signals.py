"""Signals that end a command whose results come in parts: obeyed once the part in hand is finished.

Imports nothing heavy.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from lightning_gans.errors import Stopped
from lightning_gans.quick_imports import STOP


class StopSignals:
    """In its block, signals to stop raise :class:`Stopped`, as Ctrl-C raises KeyboardInterrupt.

    Within :meth:`deferred` they do so when that block ends; a second signal does not wait. Signals
    that are ignored, such as SIGHUP under ``nohup``, stay so.

    Attributes:
        caught: the first signal; None if there was none.
    """

    def __init__(self) -> None:
        self.caught: signal.Signals | None = None
        self._is_deferring = False
        self._replaced: dict[int, Any] = {}

    def install(self) -> None:
        """Handle the signals; to be called again where other code may have replaced handlers."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python handles signals in the main thread only
        for number in STOP:
            handler = signal.getsignal(number)
            # None: a handler that was not installed from Python
            if handler in (signal.SIG_IGN, None) or handler == self._receive:
                continue
            signal.signal(number, self._receive)
            self._replaced.setdefault(number, handler)

    def __enter__(self) -> Self:
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        self._replaced = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that a first signal does not interrupt.

        Raises:
            Stopped: at its end, if there was a signal.
        """
        self._is_deferring = True
        try:
            yield
        finally:
            self._is_deferring = False
        if self.caught is not None:
            raise Stopped(self.caught)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_first, self.caught = self.caught is None, self.caught or signal.Signals(number)
        if not (is_first and self._is_deferring):
            raise Stopped(signal.Signals(number))
        # print() may be interrupted in the middle of another print(), which it refuses
        os.write(2, f"{self.caught.name}: stops after the part in hand\n".encode())
