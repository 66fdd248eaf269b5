"""How the iteration of ``model=dlsgan`` grows with batch, image, networks and threads.

One quantity changes at a time, from the defaults on digits; the images are random. The operations
of each iteration are counted too, for the model of growth in docs/performance.md, which the
published networks (thesis, section 4.2.1) then check.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --only side,batch
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import astuple, dataclass, replace
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from benchmarks.operations import Recorder
from lightning_gans.callbacks import EMA
from lightning_gans.models import DLSGAN
from lightning_gans.networks import (
    ConvDiscriminator,
    ConvGenerator,
    SkipDiscriminator,
    SkipGenerator,
)
from lightning_gans.optimizers import AdamW

WARM = 2  # iterations of each visit that are not kept
VISITS = 2  # to each case, so that a slow moment of the machine does not meet all of one


NETWORKS: dict[str, tuple[Any, Any]] = {
    "conv": (ConvGenerator, ConvDiscriminator),
    "skip": (SkipGenerator, SkipDiscriminator),
}


@dataclass(frozen=True)
class Case:
    """What an iteration's time depends on."""

    batch: int = 32
    side: int = 32
    channels: int = 16
    latent: int = 64
    threads: int = 1
    networks: str = "conv"

    def model(self) -> DLSGAN:
        """DLSGAN with the networks of this case."""
        generator, discriminator = NETWORKS[self.networks]
        return DLSGAN(
            (1, self.side, self.side),
            self.latent,
            partial(generator, channels=self.channels),
            partial(discriminator, channels=self.channels),
            optimizer=partial(AdamW, lr=1e-4),
            r1=0.1,
        )


CASES: dict[str, list[Case]] = {
    "batch": [Case(batch=n) for n in (8, 16, 32, 64, 128)],
    "side": [Case(side=n) for n in (32, 64, 128)],
    "channels": [Case(channels=n) for n in (8, 16, 32, 64)],
    "latent": [Case(latent=n) for n in (16, 64, 256, 1024)],
    "threads": [Case(threads=n) for n in (1, 2)],
    # two threads pay where there is more to share
    "batch, two threads": [Case(batch=n, threads=2) for n in (8, 128)],
    "side, two threads": [Case(side=64, threads=2)],
    "published": [Case(2, side, 64, 1024, networks="skip") for side in (32, 64, 128)],
}


class Clock(Callback):
    """Keeps the seconds of each iteration after the first few; the first one it may record.

    Args:
        limit: seconds after which training stops, as soon as two iterations are kept.
        recorder: of the operations of the second iteration; the first also makes the optimiser's
            state.
    """

    def __init__(self, limit: float, recorder: Recorder | None) -> None:
        self.limit, self.recorder = limit, recorder
        self.seconds: list[float] = []
        self.since = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.recorder and trainer.global_step == 1:
            self.recorder.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.recorder and trainer.global_step == 2:
            self.recorder.stop()
        now = time.perf_counter()
        if trainer.global_step > WARM:
            self.seconds.append(now - self.since)
        trainer.should_stop = len(self.seconds) >= 2 and sum(self.seconds) >= self.limit
        self.since = now


def visit(
    model: DLSGAN, case: Case, iterations: int, limit: float, recorder: Recorder | None = None
) -> list[float]:
    """Seconds of each of some iterations, of which there are fewer if they take long.

    Args:
        model: that is trained.
        case: that it was made for.
        iterations: the most that are kept.
        limit: seconds for them all.
        recorder: of the operations of one iteration that is not kept.
    """
    torch.set_num_threads(case.threads)
    clock = Clock(limit, recorder)
    x = torch.rand(case.batch, *model.image_shape) * 2 - 1
    batch: tuple[Tensor, Tensor] = (x, torch.zeros(case.batch, dtype=torch.long))
    Trainer(
        accelerator="cpu",
        max_steps=WARM + iterations,
        max_epochs=-1,
        logger=False,
        callbacks=[EMA(), clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model, DataLoader([batch] * 100, batch_size=None))  # type: ignore[arg-type]  # a list will do
    return clock.seconds


def main() -> None:
    """Measure and print a table for each quantity."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help=f"quantities, separated by commas, of {', '.join(CASES)}")
    parser.add_argument("--seconds", type=float, default=25, help="of all kept iterations, about")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    quiet = Quiet()
    axes = (
        [*CASES]
        if not given.only
        else [a for a in CASES if a.split(",")[0] in given.only.split(",")]
    )
    cores = os.cpu_count() or 1
    cases = list(dict.fromkeys(c for axis in axes for c in CASES[axis] if c.threads <= cores))
    budget = given.seconds / len(cases) / VISITS
    times: dict[Case, list[float]] = {case: [] for case in cases}
    counted: dict[Case, Recorder] = {}
    for _ in range(VISITS):
        for case in cases:
            plain, first = replace(case, threads=1), None
            if plain not in counted:
                first = counted[plain] = Recorder()
            times[case] += visit(case.model(), case, 30, budget, first)
    found = []
    for case in cases:
        labels = dict(zip(Case.__dataclass_fields__, astuple(case), strict=True))
        calls = counted[replace(case, threads=1)].calls
        found += [
            Figure.of("iteration", "ms", [1000 * t for t in times[case]], **labels),
            Figure.of("products", "GFLOP", [sum(c.operations for c in calls) / 1e9], **labels),
            Figure.of(
                "moved by other operations",
                "MB",
                [sum(c.bytes for c in calls if not c.operations) / 1e6],
                **labels,
            ),
        ]
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown."""
    names = list(Case.__dataclass_fields__)
    by = {(f.name, *(f.case[n] for n in names)): f for f in found}
    rows = []
    for figure in found:
        if figure.name != "iteration":
            continue
        of = tuple(figure.case[n] for n in names)
        gflop, batch = by["products", *of].median, float(figure.case["batch"])
        rows.append(
            [
                *of,
                figure,
                f"**{digits(1000 * batch / figure.median)}**",
                digits(gflop),
                digits(1000 * gflop / figure.median),
            ]
        )
    return [table([*names, "ms an iteration", "images/s", "GFLOP", "GFLOP/s"], rows)]


if __name__ == "__main__":
    main()
