"""Images a second of one process with one thread, one with two, and two with one thread each.

Two processes average their gradients (``gan_ddp``). Each process has a batch of the given size, so
that two processes train with twice as many images in an iteration.

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
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.callbacks import EMA
from lightning_gans.data import Gaussians, MNIST5k
from lightning_gans.data.data_module import DataModule
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.models import CGPGAN, DLSGAN, Model
from lightning_gans.optimizers import AdamW

WARM = 5
SETUPS = {
    "1 process of 1 thread": (1, 1),
    "1 process of 2 threads": (1, 2),
    "2 processes of 1 thread": (2, 1),
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


def train(game: str, processes: int, threads: int, blocks: int, block: int) -> list[float]:
    """Seconds of an iteration, block by block."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, data = games()[game]
    clock = Clock(block)
    Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=GANDDP() if processes > 1 else "auto",
        max_steps=WARM + blocks * block,
        max_epochs=-1,
        logger=False,
        callbacks=[EMA(), clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    ).fit(model, data)
    return clock.seconds


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a block, about")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        game, setup, file = given.one
        block = max(1, round(given.seconds / (0.12 if "dlsgan" in game else 0.03)))
        seconds = train(game, *SETUPS[setup], given.blocks, block)
        # so that what the other process used counts as ours, not as that of a neighbour
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            Path(file).write_text(json.dumps(seconds), encoding="utf-8")
        return
    quiet = Quiet()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for game in games():
            for setup, (processes, threads) in SETUPS.items():
                file = Path(folder, "seconds.json")
                # a strategy that starts processes cannot be used twice in one
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.processes", "--one", game, setup, str(file),
                     f"--blocks={given.blocks}", f"--seconds={given.seconds}"],
                    check=True,
                    stdout=sys.stderr,
                    env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                )  # fmt: skip
                seconds = json.loads(file.read_text(encoding="utf-8"))
                batch = int(game.split()[-1])
                rates = [processes * batch / t for t in seconds]
                found.append(Figure.of("rate", "images/s", rates, game=game, setup=setup))
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown."""
    by = {(f.case["game"], f.case["setup"]): f for f in found}
    first, *_ = SETUPS
    rows = [
        [game, *(by[game, s] for s in SETUPS)]
        + [
            f"**{digits(by[game, s].median / by[game, first].median)}**"
            for s in SETUPS
            if s != first
        ]
        for game in dict.fromkeys(f.case["game"] for f in found)
    ]
    ratios = [f"{setup}, ratio" for setup in SETUPS if setup != first]
    return [table(["images a second", *SETUPS, *ratios], rows)]


if __name__ == "__main__":
    main()
