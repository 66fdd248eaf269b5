"""Time per iteration, compared with a bare loop and with the GPU's peak rate; memory."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from published_ood import Loop
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gpu_checks import models
from gpu_checks.report import Report
from lightning_gans.callbacks import EMA
from lightning_gans.callbacks.ema import averaged_weights
from lightning_gans.inversion import recover
from lightning_gans.metrics import FrechetDistance
from lightning_gans.models import DLSGAN
from lightning_gans.models.base import alternating
from lightning_gans.networks import ConvGenerator, SkipDiscriminator, SkipGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Normal
from lightning_gans.rng import stream

ROOT = Path(__file__).parents[2]


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


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of matrix products and convolutions.

    A multiplication and an addition count as two. torch's own counter also follows modules, and
    fails where gradients are differentiated.
    """

    operations = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.operations += count(*args, **(kwargs or {}), out_val=found)
        return found


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


def timed(
    sizes: Sizes,
    make: Callable[[], DLSGAN],
    batch: int,
    precision: str,
    layout: torch.memory_format = torch.contiguous_format,
    compare: bool = False,
    modify: Callable[[DLSGAN], None] = lambda model: None,
) -> tuple[float, float, float]:
    """Seconds per iteration of the Trainer and of the bare loop (0 without); MiB at the peak."""
    device = sizes.device
    model = make()
    pairs = pinned(models.batches(4, batch, model.image_shape), device)
    model.to(device).to(memory_format=layout)
    modify(model)
    loop = None
    if compare:
        other = make().to(device).to(memory_format=layout)
        loop = bare_loop(other, device, pairs, precision == "bf16-mixed")
    reset_peak(device)
    timer = AlternatingTimer(device, sizes.block, loop)
    trainer = models.trainer(
        device,
        EMA(),
        timer,
        precision=precision,
        max_steps=sizes.block * sizes.blocks,
        log_every_n_steps=10_000,
    )
    trainer.fit(model, models.loader(pairs, sizes.block * sizes.blocks))
    # in the first block cuDNN still chooses algorithms
    alone = statistics.median(timer.bare[1:]) if compare else 0.0
    return statistics.median(timer.trainer[1:]), alone, peak(device)


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    torch.backends.cudnn.benchmark = True
    with models.tf32(True):
        rates: dict[str, float] = {}
        report.attempt("rates", partial(rate, report, sizes, rates))
        report.attempt("operations", partial(operations, report, sizes, rates))
        for batch in sizes.batches:
            for precision in ("32-true", "bf16-mixed"):
                for layout in (torch.contiguous_format, torch.channels_last):
                    run = partial(ffhq, report, sizes, rates, batch, precision, layout)
                    report.attempt(f"{batch} {precision} {layout}", run)
        report.attempt("digits", partial(digits, report, sizes))
        report.attempt("finite losses", partial(loss_check, report, sizes))
        report.attempt("recover", partial(recovery, report, sizes))
        report.attempt("FID", partial(fid, report, sizes))
        report.attempt("compiled", partial(compiled, report, sizes))
        if not small:
            report.attempt("demo", partial(demo, report))


def rate(report: Report, sizes: Sizes, rates: dict[str, float]) -> None:
    """The GPU's rate in a large matrix product."""
    side, repeats = (64, 2) if sizes.small else (8192, 10)
    for name, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        a, b = (torch.randn(side, side, device=sizes.device, dtype=dtype) for _ in range(2))
        for _ in range(3):
            a @ b
        start = synchronised_time(sizes.device)
        for _ in range(repeats):
            a @ b
        rates[name] = 2 * side**3 * repeats / (synchronised_time(sizes.device) - start)
        kind = "TF32" if dtype == torch.float32 else "bfloat16"
        report.add(f"a product of {side}³, {kind}", f"{rates[name] / 1e12:.1f} TFLOP/s")


def operations(report: Report, sizes: Sizes, rates: dict[str, float]) -> None:
    """Operations of an iteration, of products and convolutions only."""
    batch = 1
    model = sizes.dlsgan()
    pairs = models.batches(1, batch, model.image_shape)
    step = bare_loop(model, sizes.device, pairs, bf16=False)
    next(step)
    with FlopCounter() as counter:  # type: ignore[no-untyped-call]
        next(step)
    rates["operations"] = counter.operations / batch
    value = f"{rates['operations'] / 1e9:.1f} GFLOP per image"
    report.add(f"one iteration of dlsgan_ffhq at {sizes.side}²: products", value)


def ffhq(
    report: Report,
    sizes: Sizes,
    rates: dict[str, float],
    batch: int,
    precision: str,
    layout: torch.memory_format,
) -> None:
    """Seconds per thousand images, compared with the bound that the GPU's rate sets."""
    compare = layout == torch.contiguous_format
    took, alone, mib = timed(sizes, sizes.dlsgan, batch, precision, layout, compare)
    thousand = 1000 / batch * took
    bound = 1000 * rates["operations"] / rates[precision]
    kind = "float32 (TF32)" if precision == "32-true" else precision
    order = "" if compare else ", channels_last"
    what = f"dlsgan_ffhq at {sizes.side}², batch {batch}, {kind}{order}"
    value = f"{thousand:.2f} s for 1,000 images; bound {bound:.2f} s ({bound / thousand:.0%})"
    report.add(what, f"{value}; peak {mib:.0f} MiB", None, seconds=thousand, bound=bound, mib=mib)
    if compare:
        ratio = took / alone
        what = f"{what}: compared with the bare loop"
        report.add(what, f"{ratio:.3f}", ratio <= 1.03, ratio=ratio)


def digits(report: Report, sizes: Sizes) -> None:
    """Small networks, for which launching kernels takes most of the time."""
    block = sizes.block
    sizes.block = block if sizes.small else 100
    took, alone, mib = timed(sizes, sizes.digits, 32, "32-true", compare=True)
    sizes.block = block
    ratio = took / alone
    report.add("dlsgan on digits, batch 32", f"{1e3 * took:.2f} ms; peak {mib:.0f} MiB")
    what = "dlsgan on digits, batch 32: compared with the bare loop"
    report.add(what, f"{ratio:.3f}", ratio <= 1.03, ratio=ratio)


def loss_check(report: Report, sizes: Sizes) -> None:
    """The cost of checking in each turn whether the loss is finite."""
    ways: dict[str, Callable[[Tensor], Callable[[], bool]]] = {
        "never": lambda flag: lambda: True,
        "before the step, as implemented": alternating.fetch,
        "before the backward pass": lambda flag: partial(bool, bool(flag)),
    }
    block, sizes.block = sizes.block, sizes.block if sizes.small else 60
    found: dict[str, list[float]] = {}
    for _ in range(2):
        for name, way in ways.items():
            with patch.object(alternating, "fetch", way):
                took, _, _ = timed(sizes, sizes.digits, 32, "32-true")
            found.setdefault(name, []).append(took)
    sizes.block = block
    never = min(found["never"])
    for name, seconds in found.items():
        cost = min(seconds) / never - 1
        what = f"dlsgan on digits, losses checked: {name}"
        report.add(what, f"{1e3 * min(seconds):.2f} ms ({cost:+.1%})", None, cost=cost)


def recovery(report: Report, sizes: Sizes) -> None:
    """Images per second of ``recover``."""
    torch.manual_seed(0)
    n, steps = (2, 3) if sizes.small else (512, 200)
    device = sizes.device
    generator = ConvGenerator(256, models.SHAPE).eval().requires_grad_(False).to(device)
    prior = Normal(256).to(device)
    with torch.no_grad():
        x = generator(prior.sample(n))
    recover(generator, x[:2], prior, steps=2)
    for codes_at_once in (1024, 8192):
        reset_peak(device)
        start = synchronised_time(device)
        recover(generator, x, prior, steps=steps, codes_at_once=codes_at_once)
        speed = n / (synchronised_time(device) - start)
        what = f"recover, 16 restarts, {steps} steps, {codes_at_once} codes at once"
        report.add(what, f"{speed:.1f} images per second; peak {peak(device):.0f} MiB", speed=speed)


def fid(report: Report, sizes: Sizes) -> None:
    """FID with an untrained network of Inception's size."""
    from torchvision.models import inception_v3  # noqa: PLC0415  (takes a second)

    n = 4 if sizes.small else 10_000
    device = sizes.device
    network: nn.Module = inception_v3(weights=None, init_weights=False, aux_logits=True).eval()
    network.fc = nn.Identity()
    network.to(device)
    metric = FrechetDistance(2048).to(device)
    reset_peak(device)
    start = synchronised_time(device)
    with torch.no_grad():
        for real in (True, False):
            for first in range(0, n, 100):
                x = torch.rand(min(100, n - first), 3, 64, 64, device=device)
                metric.update(network(nn.functional.interpolate(x, 299)).float(), real=real)
    seen = synchronised_time(device) - start
    metric.compute()
    took = synchronised_time(device) - start
    value = f"{took:.1f} s, of which the distance {took - seen:.1f} s; peak {peak(device):.0f} MiB"
    what = f"FID of {n:,} images and as many fakes, network of Inception's size"
    report.add(what, value, seconds=took)


def compiled(report: Report, sizes: Sizes) -> None:
    """Compiled networks: R1 differentiates twice, which torch.compile does not support."""

    def generator_only(model: DLSGAN) -> None:
        model.generator.compile()

    def both(model: DLSGAN) -> None:
        generator_only(model)
        model.discriminator.compile()

    if sizes.small:
        return
    batch = sizes.batches[0]
    start = time.perf_counter()
    took, _, _ = timed(sizes, sizes.dlsgan, batch, "bf16-mixed", modify=generator_only)
    thousand, total = 1000 / batch * took, time.perf_counter() - start
    what = f"dlsgan_ffhq, batch {batch}, bf16-mixed, generator compiled"
    report.add(what, f"{thousand:.2f} s for 1,000 images ({total:.0f} s including compilation)")
    what = "discriminator compiled, with R1"
    try:
        timed(sizes, sizes.digits, batch, "32-true", modify=both)
    except RuntimeError as error:
        report.add(what, f"not supported by torch: {str(error).splitlines()[0][:120]}")
    else:
        report.add(what, "trains")


def demo(report: Report) -> None:
    """``make demo`` on the GPU."""
    start = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "train.py",
            "model=dlsgan",
            "data=mnist5k",
            "experiment=demo",
            "trainer.accelerator=gpu",
            "trainer.devices=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    minutes = (time.perf_counter() - start) / 60
    found = re.findall(r"fid/digits\s*\|(.*)\|", done.stdout)
    text = f"{minutes:.2f} minutes; fid/digits {found[0].strip()}" if found else done.stderr[-300:]
    report.add("make demo on the GPU", text, done.returncode == 0 and bool(found), minutes=minutes)
