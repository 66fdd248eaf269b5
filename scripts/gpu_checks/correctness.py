"""A GPU gives the same results as a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric

from gpu_checks import models
from gpu_checks.report import Report
from lightning_gans.inversion import Wasserstein, recover
from lightning_gans.metrics import (
    PSNR,
    SSIM,
    Accuracy,
    FrechetDistance,
    KernelDistance,
    LatentLoss,
    PrecisionRecall,
    Purity,
    SubsetKernelDistance,
    active_dimensions,
    latent_entropy,
    to_uint8,
)
from lightning_gans.models import DLSGAN
from lightning_gans.networks import ConvGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Normal


def check(report: Report, device: str) -> None:
    """Run all checks of this part."""
    for name, make in models.factories(models.descent()).items():
        what = f"two iterations of {name}, float64"
        report.attempt(
            what, partial(compare_training, report, what, device, make, "64-true", 1e-10)
        )
    with models.tf32(False):
        for name, make in models.factories(models.descent()).items():
            what = f"two iterations of {name}, float32"
            report.attempt(
                what, partial(compare_training, report, what, device, make, "32-true", 1e-4)
            )
        report.attempt("recover", partial(compare_recovery, report, device))
    report.attempt("bf16-mixed", partial(compare_precisions, report, device))
    report.attempt("functions", partial(compare_functions, report, device))
    for name in METRICS:
        report.attempt(name, partial(compare_metric, report, device, name))


def compare_training(
    report: Report,
    what: str,
    device: str,
    make: Callable[[], Any],
    precision: str,
    tolerance: float,
) -> None:
    """Compare weights after two iterations with those on a CPU."""
    pairs = models.batches(2, 8)
    if precision == "64-true":
        pairs = [(x.double(), y) for x, y in pairs]
    ours, theirs = (models.trained(make, d, pairs, precision=precision) for d in (device, "cpu"))
    worst = models.difference(ours, theirs)
    report.at_most(f"{what}: weights compared with the CPU's", f"{worst:.1e}", worst, tolerance)


class Losses(Callback):
    """Records the players' losses in every iteration."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        metrics = trainer.callback_metrics
        self.seen.append({n: float(metrics[n]) for n in ("discriminator", "generator")})


def compare_precisions(report: Report, device: str, iterations: int = 50) -> None:
    """Compare mean losses in bfloat16 with those in float32."""
    found = []
    for precision in ("32-true", "bf16-mixed"):
        make = partial(DLSGAN, models.SHAPE, 64, r1=0.1, optimizer=partial(AdamW, lr=1e-3))
        losses, model = Losses(), models.seeded(make)
        trainer = models.trainer(device, losses, precision=precision, log_every_n_steps=1)
        with models.DrawOnCPU():
            trainer.fit(model, models.loader(models.batches(5, 32), iterations))
        found.append(losses.seen)
    for player in ("discriminator", "generator"):
        single, mixed = (sum(row[player] for row in seen) / len(seen) for seen in found)
        error = abs(mixed / single - 1)
        value = f"{mixed:.4f} compared with {single:.4f}: {100 * error:.2f} %"
        what = f"bf16-mixed, {iterations} iterations of DLSGAN: mean loss of the {player}"
        report.at_most(what, value, 100 * error, 5, " %")


def compare_recovery(report: Report, device: str) -> None:
    """Compare the losses of recovered images with those on a CPU."""
    torch.manual_seed(1)
    generator = ConvGenerator(16, models.SHAPE, channels=4).requires_grad_(False)
    prior = Normal(16)
    x = generator(torch.randn(4, 16))
    found = []
    for where in (device, "cpu"):
        with models.DrawOnCPU():
            recovery = recover(
                generator.to(where), x, prior.to(where), Wasserstein(), steps=20, restarts=4
            )
        found.append(recovery.losses)
    worst = float(((found[0] - found[1]) / found[1]).abs().max())
    report.at_most("recover, 20 steps: losses compared with the CPU's", f"{worst:.1e}", worst, 1e-4)


def _features() -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    draw = partial(torch.randn, 500, 64, generator=random)
    return [draw(), 0.9 * draw() + 0.1]


def _samples(metric: Metric) -> None:
    real, fake = (x.to(metric.device) for x in _features())
    metric.update(real, real=True)
    metric.update(fake, real=False)


def _images(metric: Metric) -> None:
    x, y = (x.tanh().view(-1, 1, 20, 20) for x in (t[:, :40] for t in _features()))
    metric.update(x.to(metric.device), y.to(metric.device))


def _latents(metric: Metric) -> None:
    x, y = (x.to(metric.device) for x in _features())
    metric.update(x, y, torch.linspace(0.5, 1.5, 64, device=metric.device))


def _labels(metric: Metric) -> None:
    random = torch.Generator().manual_seed(3)
    x, y = (torch.randint(10, (500,), generator=random).to(metric.device) for _ in range(2))
    metric.update(x, y)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "latent_entropy": lambda x: latent_entropy(1.4, x[0].abs() + 0.01),
    "active_dimensions": lambda x: active_dimensions(x[1].square()),
    "to_uint8": lambda x: to_uint8(x.tanh()),
}
METRICS: dict[str, tuple[Callable[[], Metric], Callable[[Metric], None]]] = {
    "FrechetDistance": (partial(FrechetDistance, 64), _samples),
    "KernelDistance": (KernelDistance, _samples),
    "SubsetKernelDistance": (partial(SubsetKernelDistance, size=100), _samples),
    "PrecisionRecall": (PrecisionRecall, _samples),
    "PSNR": (PSNR, _images),
    "SSIM": (SSIM, _images),
    "LatentLoss": (LatentLoss, _latents),
    "Accuracy": (Accuracy, _labels),
    "Purity": (Purity, _labels),
}


def compare_functions(report: Report, device: str) -> None:
    """Compare the values of functions with those on a CPU."""
    x = _features()[0]
    for name, function in FUNCTIONS.items():
        ours, theirs = (function(x.to(where)).double().cpu() for where in (device, "cpu"))
        worst = float((ours - theirs).abs().max() / theirs.abs().max())
        # a rounding error of tanh may change a value that lies between two levels
        most = 1 / 255 if name == "to_uint8" else 1e-6
        report.at_most(f"{name} compared with the CPU's", f"{worst:.1e}", worst, most)


def compare_metric(report: Report, device: str, name: str) -> None:
    """Compare a metric's value with that on a CPU."""
    make, update = METRICS[name]
    found = []
    for where in (device, "cpu"):
        metric = make().to(where)
        update(metric)
        value: Any = metric.compute()
        if isinstance(value, dict):
            value = tuple(value.values())
        parts = value if isinstance(value, tuple) else (value,)
        found.append(torch.stack([torch.as_tensor(part).double().cpu() for part in parts]))
    worst = float(((found[0] - found[1]).abs() / found[1].abs().clamp(min=1e-6)).max())
    report.at_most(f"{name} compared with the CPU's", f"{worst:.1e}", worst, 1e-6)
