"""Within an iteration that is not logged, the CPU never waits for the GPU.

``tests/models/test_host_waits.py`` looks for the same on a CPU, for every model.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gpu_checks import models
from gpu_checks.report import Report
from gpu_checks.timing import synchronised_time
from lightning_gans.callbacks import EMA
from lightning_gans.data import MNIST5k
from lightning_gans.models import Model
from lightning_gans.models.base.model import Batch
from lightning_gans.optimizers import AdamW

# Synchronisations are counted between the ends of these iterations. The first of them is logged,
# because a value that is logged could be read in later iterations.
FIRST, LAST = 4, 7


class SyncWarnings(Callback):
    """Makes torch warn of every synchronisation, between the ends of two iterations."""

    def __init__(self, device: str) -> None:
        self.cuda = device.startswith("cuda")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.cuda and trainer.global_step in (FIRST, LAST):
            torch.cuda.set_sync_debug_mode("warn" if trainer.global_step == FIRST else "default")


def check(report: Report, device: str) -> None:
    """Add a row for each model, and two for copies."""
    for name, make in models.factories(partial(AdamW, lr=1e-3)).items():
        run = partial(count_synchronisations, report, device, name, make)
        report.attempt(f"synchronisations of {name}", run)
    report.attempt("pinned batches", partial(pinned_batches, report, device))
    report.attempt("copies", partial(copies, report, device))


def count_synchronisations(
    report: Report, device: str, name: str, make: Callable[[], Model]
) -> None:
    """How often an iteration waits for the GPU, and where."""
    trainer = models.trainer(
        device, EMA(), SyncWarnings(device), max_steps=LAST + 1, log_every_n_steps=FIRST
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(models.seeded(make), datamodule=MNIST5k())
    if device.startswith("cuda"):
        torch.cuda.set_sync_debug_mode("default")
    found = Counter(
        f"{Path(warning.filename).parent.name}/{Path(warning.filename).name}:{warning.lineno}"
        for warning in caught
        if "called a synchronizing" in str(warning.message)
    )
    count = sum(found.values()) / (LAST - FIRST)
    places = ", ".join(f"{place} ({times})" for place, times in found.most_common(6))
    value = f"{count:g} per iteration" + (f": {places}" if places else "")
    report.add(f"{name}: synchronisations", value, not found, "0", count=count)


def pinned_batches(report: Report, device: str) -> None:
    """Whether batches are in pinned memory, from which alone a copy does not wait."""
    model = models.seeded(models.factories(partial(AdamW, lr=1e-3))["GAN"])
    pinned: list[bool] = []
    given = model.on_before_batch_transfer

    def noted(batch: Batch, dataloader_idx: int) -> Batch:
        x, y = given(batch, dataloader_idx)
        pinned.extend((x.is_pinned(), y.is_pinned()) if torch.cuda.is_available() else ())
        return x, y

    model.on_before_batch_transfer = noted  # type: ignore[method-assign]
    models.trainer(device, max_steps=2).fit(model, datamodule=MNIST5k())
    what = "images and labels are in pinned memory when they are sent to the GPU"
    report.add(what, f"{sum(pinned)} of {len(pinned)}", all(pinned), "all")


def copies(report: Report, device: str, side: int = 1024) -> None:
    """The CPU's time to submit a copy of a batch, compared with the copy's own."""
    x = torch.zeros(32, 3, side, side)
    if device.startswith("cuda"):
        x = x.pin_memory()
    submitted, complete = [], []
    for _ in range(5):
        start = synchronised_time(device)
        y = x.to(device, non_blocking=True)
        submitted.append(time.perf_counter() - start)
        complete.append(synchronised_time(device) - start)
        del y
    submit, copy = min(submitted[1:]), min(complete[1:])
    value = f"submitted in {1e6 * submit:.0f} us, complete after {1e6 * copy:.0f} us"
    what = f"a non-blocking copy of {x.nbytes / 2**20:.0f} MiB"
    if device.startswith("cuda"):
        report.add(what, value, submit < 0.2 * copy, "submitted in at most 20 % of its time")
    else:
        report.add(what, value)
