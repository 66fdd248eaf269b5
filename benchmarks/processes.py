"""Images a second of one process with one thread, one with two, and two with one thread each.

Two processes average their gradients (``gan_ddp``). Each process has a batch of the given size, so
that two processes train with twice as many images in an iteration. What any exchange between two
processes costs on the machine is measured with two trainings that know nothing of one another, and
with two that do but sum one number before each step of an optimiser.

    python -m benchmarks.processes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.callbacks import EMA
from lightning_gans.data import Gaussians, MNIST5k
from lightning_gans.data.data_module import DataModule
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.models import CGPGAN, DLSGAN, Model
from lightning_gans.optimizers import AdamW

WARM = 5


@dataclass(frozen=True)
class Setup:
    """How a training is spread over the cores.

    Attributes:
        processes: of ``gan_ddp``, or trainings.
        threads: of each process.
        summed: numbers that separate trainings sum before each step; None for ``gan_ddp``.
    """

    processes: int
    threads: int
    summed: int | None = None


SETUPS = {
    "1 process of 1 thread": Setup(1, 1),
    "1 process of 2 threads": Setup(1, 2),
    "2 processes of 1 thread": Setup(2, 1),
    "2 trainings, nothing in common": Setup(2, 1, summed=0),
    "2 trainings, one number summed before each step": Setup(2, 1, summed=1),
}


def games() -> dict[str, tuple[Model, DataModule]]:
    """A game that is costly and one that is cheap, with their data."""
    own = partial(AdamW, lr=1e-4)
    return {
        "dlsgan, digits, batch 32": (
            DLSGAN((1, 32, 32), 64, optimizer=own, r1=0.1),
            MNIST5k(batch_size=32),
        ),
        "cgpgan, points, batch 16": (
            CGPGAN((2,), 256, 16, optimizer=own),
            Gaussians(batch_size=16),
        ),
    }


class Clock(Callback):
    """Keeps the seconds of each block of iterations after the first few."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.seconds: list[float] = []
        self.since = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = trainer.global_step - WARM
        if done >= 0 and done % self.block == 0:
            now = time.perf_counter()
            if done:
                self.seconds.append((now - self.since) / self.block)
            self.since = now


class Sum(Callback):
    """Sums zeros over two trainings before each step of an optimiser.

    The group is not the default one, so that the trainings do not know of one another.
    """

    def __init__(self, numbers: int, rank: int, file: Path) -> None:
        self.zeros = torch.zeros(numbers)
        c10d: Any = distributed  # torch's types leave these two out
        store = c10d.FileStore(str(file), 2)
        self.group = c10d.ProcessGroupGloo(store, rank, 2, timedelta(minutes=1))

    def on_before_optimizer_step(self, *_: Any) -> None:
        if len(self.zeros):
            self.group.allreduce([self.zeros]).wait()


def train(
    game: str, setup: Setup, blocks: int, block: int, callbacks: Sequence[Callback] = ()
) -> list[float]:
    """Seconds of an iteration, block by block."""
    torch.set_num_threads(setup.threads)
    torch.manual_seed(0)
    model, data = games()[game]
    clock = Clock(block)
    together = setup.processes > 1 and setup.summed is None
    Trainer(
        accelerator="cpu",
        devices=setup.processes if together else 1,
        strategy=GANDDP() if together else "auto",
        max_steps=WARM + blocks * block,
        max_epochs=-1,
        logger=False,
        callbacks=[EMA(), *callbacks, clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    ).fit(model, data)
    return clock.seconds


def run_one(game: str, name: str, file: Path, rank: int, blocks: int, seconds: float) -> None:
    """Train in this process, one of those of a setup, and write its seconds into a file."""
    setup = SETUPS[name]
    block = max(1, round(seconds / (0.12 if "dlsgan" in game else 0.03)))
    meeting = []
    if setup.summed is not None:
        meeting = [Sum(setup.summed, rank, file.with_suffix(".store"))]
    taken = train(game, setup, blocks, block, meeting)
    # so that what the other process used counts as ours, not as that of a neighbour
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    if rank == int(os.environ.get("LOCAL_RANK", "0")) == 0:
        file.write_text(json.dumps(taken), encoding="utf-8")


def measured(game: str, name: str, folder: Path, blocks: int, seconds: float) -> list[float]:
    """Seconds of an iteration, block by block, measured in processes of their own.

    A strategy that starts processes cannot be used twice in one.
    """
    setup = SETUPS[name]
    folder = Path(tempfile.mkdtemp(dir=folder))
    file = folder / "seconds.json"
    separate = 1 if setup.summed is None else setup.processes
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", "--one", game, name, str(file),
             str(rank), f"--blocks={blocks}", f"--seconds={seconds}"],
            stdout=sys.stderr,
            env={**os.environ, "OMP_NUM_THREADS": str(setup.threads)},
        )
        for rank in range(separate)
    ]  # fmt: skip
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit(f"{name} of {game} failed; its message is above")
    found: list[float] = json.loads(file.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a block, about")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        game, name, file, rank = given.one
        run_one(game, name, Path(file), int(rank), given.blocks, given.seconds)
        return
    quiet = Quiet()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for game in games():
            for name, setup in SETUPS.items():
                seconds = measured(game, name, Path(folder), given.blocks, given.seconds)
                batch = int(game.split()[-1])
                rates = [setup.processes * batch / t for t in seconds]
                found.append(Figure.of("rate", "images/s", rates, game=game, setup=name))
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown."""
    first, *_ = SETUPS
    alone = {f.case["game"]: f.median for f in found if f.case["setup"] == first}
    rows = [
        [f.case["game"], f.case["setup"], f, f"**{digits(f.median / alone[f.case['game']])}**"]
        for f in found
    ]
    return [table(["game", "on two cores", "images/s", f"times {first}"], rows)]


if __name__ == "__main__":
    main()
