"""Within an iteration that is not logged, the CPU never waits for the GPU."""

from __future__ import annotations

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
from lightning_gans.callbacks import EMA
from lightning_gans.data import MNIST5k
from lightning_gans.models import Model
from lightning_gans.optimizers import AdamW

FIRST, LAST = 3, 8  # synchronisations are counted between the ends of these iterations


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
    """Add a row for each model."""
    for name, make in models.factories(partial(AdamW, lr=1e-3)).items():
        run = partial(count_synchronisations, report, device, name, make)
        report.attempt(f"synchronisations of {name}", run)


def count_synchronisations(
    report: Report, device: str, name: str, make: Callable[[], Model]
) -> None:
    """How often an iteration waits for the GPU, and where."""
    trainer = models.trainer(
        device, EMA(), SyncWarnings(device), max_steps=LAST + 1, log_every_n_steps=1000
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
    report.add(f"{name}: synchronisations", value, not found, count=count)
