"""Loading of batches that neither hangs in silence nor ends in a page of text."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader, dataloader
from typing_extensions import override

from lightning_gans.compat import end_workers, ended_workers, kept_batches, on_unsent_batch
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError, UserError

# seconds without a batch after which a warning is given, and again after twice as many
SLOW = 60.0
# seconds for which a worker goes on after SIGTERM, which schedulers send to all processes at once:
# training may need one more batch before it stops
GRACE = 6.0
# the exit status of a worker that could not hand over a batch is this and the number of the error
UNSENT = 100

# how torch's message on a worker that has died begins
_DIED = "DataLoader worker (pid"
_SHARED_MEMORY = Path("/dev/shm")


class WorkerDied(UserError, RuntimeError):
    """A process that loads data has ended: how, why that may be, and what to do."""


class Loader(DataLoader[Batch]):
    """A DataLoader whose errors are those of the data, and which says when it waits for long.

    torch waits forever for a worker that cannot hand over a batch, for which shared memory is
    needed, and puts its whole traceback into the message of an error of the data.

    Raises:
        WorkerDied: from its iterator, if a worker has ended.
    """

    prepared = False

    @override
    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # torch names a private class
        if self.num_workers and not self.prepared:
            # now, because Lightning sets a function only where there is none
            self.worker_init_fn = partial(start_worker, then=self.worker_init_fn)
            self.prepared = True
        try:
            return _Batches(super().__iter__(), self)
        # workers that live on begin the next epoch, unless they have died since the last one
        except Exception as error:
            raise readable(error, kept_batches(self)) from error


class _Batches(Iterator[Batch]):
    """The batches of an iterator of torch's."""

    def __init__(self, batches: Iterator[Batch], loader: Loader) -> None:
        self.batches = batches
        self.loader = loader
        self.since: float | None = None  # when the batch was asked for that is waited for
        # so that the thread ends at once: thousands would be left of an epoch of milliseconds
        self.ended = threading.Event()
        weakref.finalize(self, self.ended.set)
        watch = threading.Thread(target=_watch, args=(weakref.ref(self), self.ended), daemon=True)
        watch.start()

    def __next__(self) -> Batch:
        self.since = time.monotonic()
        try:
            return next(self.batches)
        except StopIteration as end:
            self.ended.set()
            if traceback.extract_tb(end.__traceback__)[-1].filename != dataloader.__file__:
                # the epoch would end early, in silence
                raise InputError("the dataset raised StopIteration; use another error") from end
            raise
        # a dataset can raise anything
        except Exception as error:
            told = readable(error, self.batches)
            end_workers(self.loader, self.batches)
            raise told from error
        finally:
            self.since = None


def _watch(reference: weakref.ref[_Batches], ended: threading.Event) -> None:
    """Warn while a batch does not arrive; ends with the iterator."""
    since, limit = None, SLOW
    while not ended.is_set() and (batches := reference()) is not None:
        if batches.since != since:
            since, limit = batches.since, SLOW
        if since is not None and time.monotonic() - since >= limit:
            rank_zero_warn(
                f"no batch of the data has arrived for {limit:.0f} seconds: the disk is slow, or "
                "the dataset hangs; data.workers=0 shows where, and Ctrl-C stops and saves the run"
            )
            limit *= 2
        del batches
        ended.wait(min(SLOW / 4, 5.0))


def readable(error: Exception, batches: object) -> Exception:
    """The error of a loader as the dataset raised it, or as a line on the worker that died."""
    text = str(error)
    died = text.startswith(_DIED)
    if died or isinstance(error, (ConnectionError, EOFError, FileNotFoundError)):
        # a batch that a worker was handing over is noticed before its death is
        ended, until = ended_workers(batches), time.monotonic() + (0 if died else 1)
        while not ended and time.monotonic() < until:
            # where torch's handler of the signal raises
            with contextlib.suppress(RuntimeError):
                time.sleep(0.05)
            ended = ended_workers(batches)
        if died or ended:
            return WorkerDied(death(ended, text))
    caught = re.match(r"Caught (\w+) in .*\.\nOriginal Traceback", text)
    if caught is None:
        return error
    # the traceback of the worker ends with the error's class and message
    *_, message = re.split(rf"^(?:[\w.]+\.)?{caught[1]}(?:: |$)", text, flags=re.MULTILINE)
    message = message.strip()
    if "</torch_" in message:  # a file of shared memory
        return WorkerDied(death([UNSENT + error_number(message)], text))
    try:
        return type(error)(message)
    # the constructor may want anything
    except Exception:
        return RuntimeError(f"{caught[1]}: {message}")


def death(ended: list[int], text: str) -> str:
    """Why workers died, in a line, from their exit statuses and torch's message."""
    status = next(filter(None, ended), 0)
    memory = status == UNSENT + errno.ENOSPC or "Bus error" in text
    memory = memory or status == -getattr(signal, "SIGBUS", 0) != 0
    if memory or status == UNSENT + errno.ENOMEM:
        size = ""
        if _SHARED_MEMORY.is_dir():
            size = f", which has {shutil.disk_usage(_SHARED_MEMORY).total / 1e6:,.1f} MB"
        why = f"it could not hand over a batch through shared memory ({_SHARED_MEMORY}{size})"
        todo = f"enlarge {_SHARED_MEMORY} (docker run --shm-size=2g), or choose data.workers=0"
    elif status == UNSENT + errno.EMFILE:
        why, todo = "too many files are open", "raise the limit (ulimit -n), or data.workers=0"
    elif status == -getattr(signal, "SIGKILL", 9) or "signal: Killed" in text:
        why = "it was killed, most often because memory has run out"
        todo = "choose fewer data.workers, or a smaller data.batch_size"
    else:
        why = f"its exit status is {status}" if status else "it ended without a message"
        todo = "data.workers=0 shows the error"
    return f"a process that loads data has died: {why}; {todo}"


def start_worker(index: int, then: Callable[[int], Any] | None = None) -> None:
    """Prepare a worker: it leaves it to the training process to obey signals.

    Args:
        index: of the worker.
        then: another function to call.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            # a terminal sends them to all processes
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_soon)
    on_unsent_batch(_end)
    if then is not None:
        then(index)


def _end_soon(number: int, frame: object) -> None:
    timer = threading.Timer(GRACE, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()


def _end(error: Exception, batch: object) -> None:
    """End the worker; otherwise the training process would wait for the batch forever."""
    number = error.errno if isinstance(error, OSError) else None
    os._exit(UNSENT + (number or error_number(str(error))))


def error_number(message: str) -> int:
    """The number of the operating system's error with which torch ends a message; 0 if none."""
    found = re.search(r"\(([0-9]{1,3})\)\s*$", message)
    return int(found[1]) if found else 0
