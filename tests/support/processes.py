"""Runs a function in several processes that communicate through gloo, as on a cluster of CPUs."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes


def free_port() -> int:
    """A port that nobody uses, in a range of this test worker's own.

    The ranges are below those from which the system gives ports, so that nobody else is given the
    port before it is used.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 10_000 + 500 * (worker % 40)
    for port in random.Random().sample(range(first, first + 500), 500):
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {first} to {first + 499} is free")


def _work(
    local: int, work: Callable[[int, int], Any], processes: int, port: int, folder: Path
) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        LOCAL_RANK=str(local),
        NODE_RANK="0",
        WORLD_SIZE=str(processes),
        GLOO_SOCKET_IFNAME="lo",
    )
    torch.save(work(local, processes), folder / f"{local}.pt")


def several(processes: int, work: Callable[[int, int], Any], folder: Path) -> list[Any]:
    """What ``work(rank, processes)`` returns in each, in order; forked, so that nothing is loaded.

    Lightning takes the processes for its own, started from outside.
    """
    folder.mkdir(parents=True)
    context = start_processes(  # type: ignore[no-untyped-call]
        _work,
        (work, processes, free_port(), folder),
        nprocs=processes,
        start_method="fork",
        join=False,
    )
    # where one fails the others are terminated, which Lightning would only note, and killed then
    while not context.join(grace_period=5):
        pass
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(processes)]
