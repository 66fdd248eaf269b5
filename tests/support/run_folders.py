"""Folders of runs without a training, and a process that trains in one."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_gans.runs.claim import Training, hold, read_record, write_record


def checkpoint(path: Path) -> Path:
    """A file whose checksums are right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    zipfile.ZipFile(path, "w").close()
    return path


@contextmanager
def another_process(run: Path, loader: bool = False) -> Iterator[int]:
    """A process that holds a folder; with a loader's process of its own, which outlives it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            hold(run)
            record = read_record(run)
            write_record(run, Training() if record is None else record.training)
            if loader and os.fork() == 0:
                os.close(writing)
                time.sleep(5)
                os._exit(0)
            os.write(writing, b"1")
            time.sleep(60)
        finally:
            os._exit(0)
    try:
        assert os.read(reading, 1) == b"1"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
