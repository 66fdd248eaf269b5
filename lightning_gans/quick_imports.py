"""Importing torch, Lightning and torchmetrics in less time, for commands that wait for it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# torchmetrics imports it to give it a name that another package expects, which takes longer than
# torchmetrics itself
_SIGNAL = "scipy.signal"


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import torchmetrics, on which Lightning depends, and let the block import the rest.

    Python does not look for garbage meanwhile: it would do so again and again, as objects are made,
    and find none. The objects of the modules are then left out of every later search, which would
    hold up training for a tenth of a second each. Once torchmetrics has been imported, nothing is
    changed.
    """
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
