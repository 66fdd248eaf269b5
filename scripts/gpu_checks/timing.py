"""Time and memory of a device, and the models whose time is measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from published_ood import Loop, build
from torch import Tensor

from gpu_checks import models
from lightning_gans.callbacks import EMA
from lightning_gans.callbacks.ema import averaged_weights
from lightning_gans.models import DLSGAN
from lightning_gans.networks import SkipDiscriminator, SkipGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.rng import stream


class Sizes:
    """The sizes of networks and batches: realistic for a GPU, tiny for a CPU.

    Args:
        device: of the networks.
        small: whether to use tiny sizes, only to test that everything runs.
    """

    def __init__(self, device: str, small: bool) -> None:
        self.device, self.small = device, small
        self.side = 32 if small else 256
        self.width: dict[str, Any] = {"channels": 4, "max_channels": 8} if small else {}
        self.latent = 8 if small else 1024
        self.batches = (2,) if small else (8, 32)
        self.block, self.blocks = (1, 2) if small else (5, 3)

    def dlsgan(self) -> DLSGAN:
        """The model of ``experiment=dlsgan_ffhq``."""
        torch.manual_seed(1)
        return DLSGAN(
            (3, self.side, self.side),
            self.latent,
            partial(SkipGenerator, **self.width),
            partial(SkipDiscriminator, **self.width),
            optimizer=partial(AdamW, lr=3e-3),
            r1=10.0,
        )

    def digits(self) -> DLSGAN:
        """The model of ``make demo``."""
        torch.manual_seed(1)
        return DLSGAN((1, 32, 32), 64, optimizer=partial(AdamW, lr=1e-3), r1=0.1)

    def published(self) -> DLSGAN:
        """The model of ``experiment=anodlsgan_mnist``."""
        torch.manual_seed(1)
        model = build("dlsgan", 2 if self.small else 128, self.device, 8 if self.small else 256)
        assert isinstance(model, DLSGAN)
        return model


def synchronised_time(device: str) -> float:
    """The time once the device has finished all submitted work, in seconds."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def reset_peak(device: str) -> None:
    """Reset the peak of memory."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> float:
    """The peak of allocated memory since its reset, in MiB; 0 on a CPU."""
    return torch.cuda.max_memory_allocated() / 2**20 if device.startswith("cuda") else 0.0


class AlternatingTimer(Callback):
    """Times blocks of the Trainer's iterations, alternating with blocks of a bare loop.

    Args:
        device: of the model.
        block: iterations per block.
        loop: yields after each iteration; None for the Trainer alone.
    """

    def __init__(self, device: str, block: int, loop: Iterator[None] | None) -> None:
        self.device, self.block, self.loop = device, block, loop
        self.trainer: list[float] = []
        self.bare: list[float] = []
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = synchronised_time(self.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.block:
            return
        self.trainer.append((synchronised_time(self.device) - self.started) / self.block)
        self.started = synchronised_time(self.device)
        if self.loop is not None:
            for _ in range(self.block):
                next(self.loop)
            self.bare.append((synchronised_time(self.device) - self.started) / self.block)
        self.started = synchronised_time(self.device)


def bare_loop(model: DLSGAN, device: str, pairs: list[models.Pair], bf16: bool) -> Iterator[None]:
    """The same iterations, including averaged weights, without a Trainer."""
    model.to(device)
    random, ema = stream("training", 0, device=device), EMA()
    ema.average = {name: p.detach().clone() for name, p in averaged_weights(model).items()}
    count = 0
    x = pairs[0][0]

    def draw() -> Tensor:
        return x.to(device, non_blocking=True)

    loop = Loop(model, draw, random, bf16)
    while True:
        x = pairs[count % len(pairs)][0]
        loop.step()
        count += 1
        ema.update(model, count)
        yield


def pinned(pairs: list[models.Pair], device: str) -> list[models.Pair]:
    """Batches in pinned memory, from which the GPU copies asynchronously."""
    if not device.startswith("cuda"):
        return pairs
    return [(x.pin_memory(), y.pin_memory()) for x, y in pairs]


class Timed(NamedTuple):
    """Seconds per iteration of the Trainer and of the bare loop (0 without), MiB at the peak."""

    trainer: float
    bare: float
    mib: float


def timed(
    sizes: Sizes,
    make: Callable[[], DLSGAN],
    batch: int,
    precision: str,
    layout: torch.memory_format = torch.contiguous_format,
    compare: bool = False,
    modify: Callable[[DLSGAN], None] = lambda model: None,
    block: int | None = None,
) -> Timed:
    """Time a model's iterations.

    Args:
        sizes: the device, and the number of iterations.
        make: makes the model.
        batch: images per batch.
        precision: of the Trainer.
        layout: of the weights.
        compare: whether to time a bare loop in turns with the Trainer; its model adds to the peak.
        modify: applied to the model on its device.
        block: iterations per block, if not that of ``sizes``.
    """
    device = sizes.device
    block = sizes.block if block is None or sizes.small else block
    model = make()
    pairs = pinned(models.batches(4, batch, model.image_shape), device)
    model.to(device).to(memory_format=layout)
    modify(model)
    loop = None
    if compare:
        other = make().to(device).to(memory_format=layout)
        loop = bare_loop(other, device, pairs, precision == "bf16-mixed")
    reset_peak(device)
    timer = AlternatingTimer(device, block, loop)
    trainer = models.trainer(
        device,
        EMA(),
        timer,
        precision=precision,
        max_steps=block * sizes.blocks,
        log_every_n_steps=10_000,
    )
    trainer.fit(model, models.loader(pairs, block * sizes.blocks))
    # in the first block cuDNN still chooses algorithms
    alone = statistics.median(timer.bare[1:]) if compare else 0.0
    return Timed(statistics.median(timer.trainer[1:]), alone, peak(device))
