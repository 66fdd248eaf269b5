"""What the C library does with memory that an iteration frees and the next one needs again."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# numbers of mallopt's parameters, in malloc.h of glibc
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT = 256 * 2**20
"""Bytes that stay with the process."""
LARGE = 32 * 2**20
"""Pieces of more bytes are given back at once; glibc allows no more."""


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, up to a limit, where the C library is glibc.

    It would give the gradients of every iteration back to the system, which clears each page before
    the next iteration gets it: 1.3 of 20 milliseconds with networks of three million weights. A
    network that only computes pays it for its images too: a quarter of the time of batches of 512.
    """
    with suppress(AttributeError, OSError, TypeError):  # of another C library
        change = ctypes.CDLL(None).mallopt
        change(_MMAP_THRESHOLD, LARGE)
        change(_TRIM_THRESHOLD, KEPT)
