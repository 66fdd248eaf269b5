"""The same seed gives the same weights, also after an interruption; checkpoints change devices."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

import lightning_gans
from gpu_checks import models
from gpu_checks.report import Report
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.data import MNIST5k
from lightning_gans.models import DLSGAN, PVDGAN, Model
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.folder import newest

STEPS, INTERRUPTED = 20, 13


class Interrupted(RuntimeError):
    """Training was interrupted on purpose."""


class Interrupt(Callback):
    """Interrupts training between the two players' steps of an iteration."""

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        if trainer.global_step + 1 == INTERRUPTED and optimizer is trainer.optimizers[1]:
            raise Interrupted


def dlsgan() -> Model:
    """Standard networks."""
    return DLSGAN((1, 32, 32), 64, r1=0.1, optimizer=partial(AdamW, lr=1e-3))


def pvdgan() -> Model:
    """Standard networks; draws noise in addition to latents."""
    return PVDGAN((1, 32, 32), 64, r1=0.1, optimizer=partial(AdamW, lr=1e-3))


def fit(
    make: Callable[[], Model], folder: Path, device: str, *callbacks: Callback, resume: bool = False
) -> dict[str, Tensor]:
    """Train a model from the same seed; return its weights, buffers and averaged weights."""
    os.environ["PL_GLOBAL_SEED"] = "5"
    model, ema = models.seeded(make), EMA(0.9)
    trainer = models.trainer(
        device,
        *callbacks,
        ema,
        Checkpoint(every=5),
        deterministic=True,
        max_steps=STEPS,
        default_root_dir=folder,
    )
    trainer.fit(model, datamodule=MNIST5k(), ckpt_path=newest(folder) if resume else None)
    torch.use_deterministic_algorithms(False)
    averages = {f"average.{name}": value.cpu() for name, value in ema.average.items()}
    return {name: value.cpu() for name, value in model.state_dict().items()} | averages


def identical(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    """Whether all tensors are bit-equal."""
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


def check(report: Report, device: str) -> None:
    """Run all checks of this part."""
    for name, make in (("dlsgan", dlsgan), ("pvdgan", pvdgan)):
        run = partial(check_repeatability, report, device, name, make)
        report.attempt(f"{name}, determinism", run)
    report.attempt("checkpoints", partial(check_other_device, report, device))


def check_repeatability(report: Report, device: str, name: str, make: Callable[[], Model]) -> None:
    """Train twice, and once more with an interruption."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        first, second = (fit(make, folder / f"{i}", device) for i in range(2))
        report.add(
            f"{name}, {STEPS} iterations twice, deterministic",
            f"{len(first)} tensors, maximum difference {models.difference(first, second):.1e}",
            identical(first, second),
            "bit-equal",
        )
        try:
            fit(make, folder / "cut", device, Interrupt())
        except Interrupted:
            torch.use_deterministic_algorithms(False)
        checkpoint = newest(folder / "cut")
        third = fit(make, folder / "cut", device, resume=True)
        source = checkpoint.name if checkpoint else None
        report.add(
            f"{name}, interrupted in iteration {INTERRUPTED}, resumed from {source}",
            f"maximum difference {models.difference(first, third):.1e}",
            identical(first, third),
            "bit-equal",
        )


def check_other_device(report: Report, device: str) -> None:
    """Load a checkpoint of each device on the other, and resume its run there."""
    x = models.batches(1, 16)[0][0]
    with tempfile.TemporaryDirectory() as directory, models.tf32(False):
        for number, (here, there) in enumerate(((device, "cpu"), ("cpu", device))):
            folder = Path(directory, str(number))
            fit(dlsgan, folder, here)
            ours, theirs = (
                lightning_gans.load(folder, device=d).encode(x.to(d)).cpu() for d in (here, there)
            )
            error = float((ours - theirs).abs().max() / ours.abs().max())
            what = f"a checkpoint of {here}, loaded on {here} and {there}: codes"
            report.at_most(what, f"{error:.1e}", error, 1e-4)
            model = models.seeded(dlsgan)
            trainer = models.trainer(there, EMA(0.9), max_steps=STEPS + 2, default_root_dir=folder)
            trainer.fit(model, datamodule=MNIST5k(), ckpt_path=newest(folder))
            finite = all(bool(p.isfinite().all()) for p in model.parameters())
            what = f"a run started on {here} resumes on {there}"
            resumed = trainer.global_step == STEPS + 2
            value = f"{trainer.global_step} iterations, {'finite' if finite else 'not finite'}"
            required = f"{STEPS + 2} iterations, finite"
            report.add(what, value, finite and resumed, required)
