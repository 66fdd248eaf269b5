"""Time per iteration of four models in the Trainer compared with the same in a bare PyTorch loop.

Both run in turn, block by block, in one process, on the same data and threads; the ratio is taken
block by block, so that a drift of the machine's speed affects both. The Trainer has the callbacks,
the logger and the progress bar of ``lightning-gans train``. "loop alone" is ``model=dlsgan`` on
networks of one channel and two images, where nearly all of the difference is the loop itself.

    python -m benchmarks.iteration_time --threads 1 2 --json times.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from benchmarks import bare_loops
from benchmarks.measuring import Figure, Label, Quiet, table, write_figures
from lightning_gans.callbacks import EMA, Checkpoint, Evaluation, Pictures
from lightning_gans.callbacks.progress import Progress
from lightning_gans.data import DataModule, Gaussians, MNIST5k
from lightning_gans.models import CGPGAN, DLSGAN, GAN, PVDGAN, Model
from lightning_gans.networks import ConvDiscriminator, ConvGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.metrics_csv import MetricsCSV

DIGITS = partial(AdamW, lr=1e-3, weight_decay=0.0)
POINTS = partial(AdamW, lr=1e-4, weight_decay=1e-4)
THIN = {"channels": 1, "max_channels": 1}


@dataclass(frozen=True)
class Case:
    """A model and its bare loop.

    Attributes:
        model: makes the model.
        loop: makes the loop from its batches.
        data: makes the data of both.
        block: iterations in a block.
    """

    model: Callable[[], Model]
    loop: Callable[[Iterator[Tensor]], Iterator[None]]
    data: Callable[[], DataModule]
    block: int


CASES = {
    "gan": Case(lambda: GAN((1, 32, 32), 64, r1=0.1, optimizer=DIGITS), bare_loops.gan, MNIST5k, 8),
    "dlsgan": Case(
        lambda: DLSGAN((1, 32, 32), 64, r1=0.1, optimizer=DIGITS), bare_loops.dlsgan, MNIST5k, 8
    ),
    "pvdgan": Case(
        lambda: PVDGAN((1, 32, 32), 64, r1=0.1, optimizer=DIGITS), bare_loops.pvdgan, MNIST5k, 8
    ),
    "cgpgan on clusters": Case(
        lambda: CGPGAN((2,), 256, 16, optimizer=POINTS),
        bare_loops.cgpgan,
        lambda: Gaussians(batch_size=16),
        40,
    ),
    "loop alone": Case(
        lambda: DLSGAN(
            (1, 32, 32),
            64,
            generator=partial(ConvGenerator, **THIN),  # type: ignore[arg-type]  # all are widths
            discriminator=partial(ConvDiscriminator, **THIN),  # type: ignore[arg-type]  # all are widths
            r1=0.1,
            optimizer=DIGITS,
        ),
        lambda batches: bare_loops.dlsgan(batches, **THIN),
        lambda: MNIST5k(batch_size=2),
        100,
    ),
}


class Alternate(Callback):
    """Times a block of the Trainer's iterations, then one of the bare loop's, and so on."""

    def __init__(self, loop: Iterator[None], block: int) -> None:
        self.loop, self.block = loop, block
        self.framework: list[float] = []
        self.plain: list[float] = []
        self.start = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.block == 0:
            self.framework.append((time.perf_counter() - self.start) / self.block)
            start = time.perf_counter()
            for _ in range(self.block):
                next(self.loop)
            self.plain.append((time.perf_counter() - start) / self.block)
            self.start = time.perf_counter()


def forever(data: DataModule) -> Iterator[Tensor]:
    while True:
        for x, _ in data.train_dataloader():
            yield x


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what the block prints from the terminal, where it would take time and space."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def measure(case: Case, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds per iteration of the Trainer and of the bare loop, in each round."""
    data = case.data()
    data.setup("fit")
    # the loader of the Trainer belongs to it: the loop has its own
    own = case.data()
    own.setup("fit")
    watch = Alternate(case.loop(forever(own)), case.block)
    with tempfile.TemporaryDirectory() as folder, silent():
        Trainer(
            accelerator="cpu",
            # the first round warms both up
            max_steps=case.block * (rounds + 1),
            max_epochs=-1,
            logger=MetricsCSV(folder),
            callbacks=[EMA(), Evaluation(), Pictures(), Checkpoint(), Progress(), watch],
            default_root_dir=Path(folder),
            enable_model_summary=False,
            limit_val_batches=0,
        ).fit(case.model(), data)
    return watch.framework[1:], watch.plain[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--only", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    quiet, figures, rows = Quiet(), list[Figure](), list[list[object]]()
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.only:
            framework, plain = (
                [1e3 * t for t in seconds] for seconds in measure(CASES[name], arguments.rounds)
            )
            pairs = list(zip(framework, plain, strict=True))
            case: dict[str, Label] = {"model": name, "threads": threads}
            found = [
                Figure.of("iteration, Trainer", "ms", framework, **case),
                Figure.of("iteration, bare loop", "ms", plain, **case),
                Figure.of("Trainer over bare loop", "", [a / b for a, b in pairs], **case),
                Figure.of("added by the Trainer", "ms", [a - b for a, b in pairs], **case),
            ]
            figures += found
            rows.append([name, threads, *found])
    head = ["model", "threads", "Trainer, ms", "bare loop, ms", "ratio", "added, ms"]
    print(table(head, rows))
    if arguments.json:
        write_figures(arguments.json, figures, quiet)


if __name__ == "__main__":
    main()
