"""Where the CPU's time goes in an iteration of small networks, while the GPU has little to do."""

from __future__ import annotations

import cProfile
import pstats
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from published_ood import WARM_UP, Loop
from torch.profiler import ProfilerActivity, profile

from gpu_checks import models
from gpu_checks.report import Report
from gpu_checks.timing import Sizes, pinned, synchronised_time
from lightning_gans.callbacks import EMA
from lightning_gans.rng import stream

TOP = 10
WHAT = "dlsgan on digits, batch 32"
# the CUDA calls that start a kernel
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx")


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    torch.backends.cudnn.benchmark = True
    with models.tf32(True):
        report.attempt("operations of the host", partial(operations, report, sizes))
        report.attempt("functions of the host", partial(functions, report, sizes))
        report.attempt("CUDA graph", partial(graph, report, sizes))


class Profiled(Callback):
    """Profiles the iterations between the ends of two.

    Args:
        profiler: of torch or of Python.
        device: of the model.
        first: the iteration at whose end it begins.
        last: the iteration at whose end it stops.
    """

    def __init__(self, profiler: Any, device: str, first: int, last: int) -> None:
        self.profiler, self.device, self.first, self.last = profiler, device, first, last
        self.started = self.seconds = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.first:
            self.started = synchronised_time(self.device)
            self.profiler.__enter__()
        elif trainer.global_step == self.last:
            self.seconds = synchronised_time(self.device) - self.started
            self.profiler.__exit__(None, None, None)


def profiled(sizes: Sizes, profiler: Any) -> tuple[int, float]:
    """Profile the Trainer's iterations of the digits' model; their number, and seconds of each."""
    first, count = (1, 2) if sizes.small else (20, 50)
    model = sizes.digits()
    pairs = pinned(models.batches(4, 32, model.image_shape), sizes.device)
    watched = Profiled(profiler, sizes.device, first, first + count)
    trainer = models.trainer(
        sizes.device, EMA(), watched, max_steps=first + count, log_every_n_steps=10_000
    )
    trainer.fit(model, models.loader(pairs, first + count))
    return count, watched.seconds / count


def operations(report: Report, sizes: Sizes) -> None:
    """Launches per iteration, and the operations that take most of the CPU's time."""
    cuda = sizes.device.startswith("cuda")
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    profiler = profile(activities=kinds)
    count, took = profiled(sizes, profiler)
    events = profiler.key_averages()
    value = f"{1e3 * took:.2f} ms, while it is profiled"
    if cuda:
        # operations of the CPU repeat the time of the kernels that they start
        kernels = [e for e in events if e.device_type.name == "CUDA"]
        busy = sum(e.self_device_time_total for e in kernels) / count / 1e6
        launches = sum(e.count for e in events if e.key in LAUNCHES) / count
        value += f"; the GPU is busy for {1e3 * busy:.2f} ms of it ({busy / took:.0%})"
        report.add(f"{WHAT}: kernels started", f"{launches:.0f} per iteration", launches=launches)
    report.add(f"{WHAT}: one iteration", value, seconds=took)
    events = sorted(events, key=lambda e: -e.self_cpu_time_total)
    whole = sum(e.self_cpu_time_total for e in events)
    for place, event in enumerate(events[:TOP], 1):
        micro = event.self_cpu_time_total
        value = f"{event.key}: {micro / count:.0f} us ({micro / whole:.0%})"
        value += f", {event.count / count:g} times per iteration"
        report.add(f"{WHAT}: operation {place} by the CPU's time", value)


def functions(report: Report, sizes: Sizes) -> None:
    """The Python functions that take most of the CPU's time, torch's operations apart."""
    profiler = cProfile.Profile()
    count, _ = profiled(sizes, profiler)
    # of each function: calls, primitive calls, own time, cumulative time, callers
    rows: dict[tuple[str, int, str], tuple[int, int, float, float, Any]]
    rows = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    python = {where: row for where, row in rows.items() if where[1]}  # others are not Python
    ordered = sorted(python.items(), key=lambda item: -item[1][2])
    for place, ((file, _, name), row) in enumerate(ordered[:TOP], 1):
        path = Path(file)
        value = f"{path.parent.name}/{path.name}:{name}: {1e6 * row[2] / count:.0f} us"
        value += f", {row[1] / count:g} times per iteration"
        report.add(f"{WHAT}: Python function {place} by its own time", value)


def graph(report: Report, sizes: Sizes) -> None:
    """The bare loop's iteration, as one CUDA graph and without."""
    what = f"{WHAT}: one iteration of the bare loop, as a CUDA graph and without"
    if not sizes.device.startswith("cuda"):
        report.add(what, "only on a GPU")
        return
    model = sizes.digits().to(sizes.device)
    x = models.batches(1, 32, model.image_shape)[0][0].to(sizes.device)
    loop = Loop(model, lambda: x, stream("training", 0, device=sizes.device))
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        for _ in range(WARM_UP):
            loop.step()
        eager = per_iteration(loop)
        loop.capture()
        loop.step()
        captured = per_iteration(loop)
    value = f"{1e3 * captured:.2f} ms and {1e3 * eager:.2f} ms ({eager / captured:.1f} times)"
    report.add(what, value, captured=captured, eager=eager)


def per_iteration(loop: Loop, count: int = 100) -> float:
    """Seconds of an iteration."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        loop.step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / count
