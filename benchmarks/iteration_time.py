"""Time per iteration of ``model=dlsgan`` compared with the same networks in a bare PyTorch loop.

Both run in turn, block by block, in one process, on the same data and threads; the ratio is taken
block by block, so that a drift of the machine's speed affects both.

    python benchmarks/iteration_time.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.functional import softplus

from lightning_gans.callbacks import EMA
from lightning_gans.data import MNIST5k
from lightning_gans.models import DLSGAN
from lightning_gans.networks import ConvDiscriminator, ConvGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.metrics_csv import MetricsCSV

LATENT = 64


def bare(batches: Iterator[Tensor]) -> Iterator[None]:
    """DLSGAN with EMA, written as a plain loop; each ``next`` is an iteration."""
    shape = (1, 32, 32)
    generator = ConvGenerator(LATENT, shape)
    discriminator = ConvDiscriminator(shape, scores=1, code_dim=LATENT)
    ours, theirs = list(generator.parameters()), list(discriminator.parameters())
    descend_g, descend_d = (AdamW(p, lr=1e-3, weight_decay=0.0) for p in (ours, theirs))
    averages = [p.detach().clone() for p in theirs + ours]
    v = torch.full((LATENT,), 1e-4)
    for batch in batches:
        s = (LATENT * v / v.sum()).sqrt()
        for p in ours:
            p.requires_grad_(False)
        x = batch.requires_grad_()
        z = torch.randn(len(x), LATENT)
        real, fake = discriminator(x), discriminator(generator(z * s))
        (slope,) = torch.autograd.grad(real.score.sum(), x, create_graph=True)
        loss = (softplus(-real.score) + softplus(fake.score)).mean()
        loss = loss + 0.1 * slope.flatten(1).square().sum(1).mean()
        loss = loss + (s * (z - fake.code)).square().mean()
        descend_d.zero_grad()
        loss.backward()
        descend_d.step()
        seen = fake.code.detach()
        for p in ours:
            p.requires_grad_(True)
        for p in theirs:
            p.requires_grad_(False)
        z = torch.randn(len(x), LATENT)
        fake = discriminator(generator(z * s))
        loss = softplus(-fake.score).mean() + (s * (z - fake.code)).square().mean()
        descend_g.zero_grad()
        loss.backward()
        descend_g.step()
        for p in theirs:
            p.requires_grad_(True)
        with torch.no_grad():
            v.lerp_(torch.cat([seen, fake.code]).square().mean(0), 1e-3)
            for average, p in zip(averages, theirs + ours, strict=True):
                average.lerp_(p, 1e-3)
        yield


class Alternate(Callback):
    """Times a block of the trainer's iterations, then one of the bare loop's, and so on."""

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


def forever(data: MNIST5k) -> Iterator[Tensor]:
    while True:
        for x, _ in data.train_dataloader():
            yield x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--block", type=int, default=25, help="iterations in a block")
    arguments = parser.parse_args()
    data = MNIST5k()
    data.setup("fit")
    model = DLSGAN((1, 32, 32), LATENT, optimizer=lambda p: AdamW(p, lr=1e-3, weight_decay=0.0))
    watch = Alternate(bare(forever(data)), arguments.block)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            max_steps=arguments.block * arguments.blocks,
            logger=MetricsCSV(folder),
            callbacks=[EMA(), watch],
            default_root_dir=Path(folder),
            enable_checkpointing=False,
            enable_model_summary=False,
            limit_val_batches=0,
        ).fit(model, data)
    # the first block warms both up
    framework, plain = watch.framework[1:], watch.plain[1:]
    ratios = [a / b for a, b in zip(framework, plain, strict=True)]
    print(f"\nthreads {torch.get_num_threads()}, {len(ratios)} blocks of {arguments.block}")
    for name, values in (("model=dlsgan", framework), ("bare loop", plain)):
        low, middle, high = (1000 * f(values) for f in (min, statistics.median, max))
        print(f"{name:<14} ms an iteration: median {middle:.1f} (min {low:.1f}, max {high:.1f})")
    print(f"ratio          median {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
