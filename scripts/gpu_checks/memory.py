"""The peak of memory in training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from gpu_checks import models, tasks
from gpu_checks.report import Report
from gpu_checks.timing import Sizes, peak, reset_peak, timed


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    with models.tf32(True):
        for name, run in runs(sizes).items():
            report.attempt(name, partial(measure, report, device, name, run))
    report.add(
        "accumulation of gradients over parts of a batch",
        "not offered: a smaller data.batch_size takes less memory",
    )


def runs(sizes: Sizes) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    made: dict[str, Callable[[], object]] = {}
    for batch in sizes.batches:
        for precision in ("32-true", "bf16-mixed"):
            name = f"dlsgan_ffhq at {sizes.side}², batch {batch}, {precision}"
            made[name] = partial(timed, sizes, sizes.dlsgan, batch, precision, block=1)
    made["dlsgan on digits, batch 32"] = partial(timed, sizes, sizes.digits, 32, "32-true", block=1)
    made["anodlsgan_mnist, batch 32"] = partial(
        timed, sizes, sizes.published, 32, "32-true", block=1
    )
    n, _ = tasks.recovery_size(sizes)
    for at_once in (1024, 8192):
        name = f"recover, 16 restarts, {at_once} codes at once"
        made[name] = partial(tasks.run_recovery, sizes, n, 2, at_once)
    images = min(200, tasks.fid_size(sizes))  # more take no more memory
    made["FID, network of Inception's size"] = partial(tasks.run_fid, sizes, images)
    return made


def measure(report: Report, device: str, name: str, run: Callable[[], object]) -> None:
    """The peak of one run, which must fit the device."""
    reset_peak(device)
    run()
    found = peak(device)
    if device.startswith("cuda"):
        whole = torch.cuda.get_device_properties(device).total_memory / 2**20
        report.at_most(f"peak memory: {name}", f"{found:,.0f} MiB", found, round(whole), " MiB")
    else:
        report.add(f"peak memory: {name}", "measured on a GPU only")
