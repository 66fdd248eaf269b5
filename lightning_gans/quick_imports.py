"""Importing torch, Lightning and torchmetrics in less time, for commands that wait for it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Any

# torchmetrics imports it to give it a name that another package expects, which takes longer than
# torchmetrics itself
_SIGNAL = "scipy.signal"
# Ctrl-C, the end of a job or of a container, a lost connection; Windows has no SIGHUP
STOP = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# whether the process is a program, and not somebody's Python that calls one of its functions
_is_program: ContextVar[bool] = ContextVar("is_program", default=False)


@contextmanager
def as_program() -> Iterator[None]:
    """In the block, a signal to stop ends the process at once while modules are imported."""
    token = _is_program.set(True)
    try:
        yield
    finally:
        _is_program.reset(token)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import torchmetrics, on which Lightning depends, and let the block import the rest.

    Python does not look for garbage meanwhile: it would do so again and again, as objects are made,
    and find none. The objects of the modules are then left out of every later search, which would
    hold up training for a tenth of a second each. Once torchmetrics has been imported, nothing is
    changed.

    A signal to stop ends a program at once, with one line and its usual status. Otherwise it is
    obeyed after the block: an exception that is raised while torch is imported may abort the
    process, or be lost. Warnings look as they did before the block.
    """
    with _signals_wait(), _without_garbage(), _same_warnings():
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals to stop end a program at once, and wait for the end of the block elsewhere."""
    caught: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if _is_program.get():
            os.write(2, f"stopped by {signal.Signals(number).name}\n".encode())
            os._exit(128 + number)
        caught.append(number)

    replaced: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP:
            # None: a handler that was not installed from Python
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                replaced[number] = signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


@contextmanager
def _without_garbage() -> Iterator[None]:
    """Import torchmetrics and what the block imports without a search for garbage."""
    if "torchmetrics" in sys.modules:
        yield
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        with _without_scipy_signal():
            import torchmetrics  # noqa: F401, PLC0415  (takes seconds)
        yield
        gc.freeze()
    finally:
        if collects:
            gc.enable()


@contextmanager
def _same_warnings() -> Iterator[None]:
    """Importing Lightning replaces how warnings are written; the block's end takes that back.

    Lightning's form begins with the file that warns, where "lightning" is in its path: each of this
    package is such a file.
    """
    before = warnings.formatwarning
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _without_scipy_signal() -> Iterator[None]:
    """The block finds an empty ``scipy.signal``; who imports it later gets the real one."""
    if _SIGNAL in sys.modules:
        yield
        return
    empty = ModuleType(_SIGNAL)
    vars(empty)["hamming"] = None
    sys.modules[_SIGNAL] = empty
    try:
        yield
    finally:
        if sys.modules.get(_SIGNAL) is empty:
            del sys.modules[_SIGNAL]
