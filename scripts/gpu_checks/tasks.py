"""How long whole tasks take: recovering latents, an FID, the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import nn

from gpu_checks import models
from gpu_checks.report import Report
from gpu_checks.timing import Sizes, synchronised_time
from lightning_gans.inversion import recover
from lightning_gans.metrics import FrechetDistance
from lightning_gans.networks import ConvGenerator
from lightning_gans.priors import Normal

ROOT = Path(__file__).parents[2]
# of the demo on a CPU, in the README; seeds differ by some of it
DEMO_FID = 50.99


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    torch.backends.cudnn.benchmark = True
    with models.tf32(True):
        for at_once in (1024, 8192):
            run = partial(recovery, report, sizes, at_once)
            report.attempt(f"recover, {at_once} codes", run)
        report.attempt("FID", partial(fid, report, sizes))
    if not small:
        report.attempt("demo", partial(demo, report, device))


def recovery(report: Report, sizes: Sizes, codes_at_once: int) -> None:
    """Images per second of ``recover``."""
    n, steps = recovery_size(sizes)
    start = synchronised_time(sizes.device)
    run_recovery(sizes, 2, 2, codes_at_once)
    start = synchronised_time(sizes.device)
    run_recovery(sizes, n, steps, codes_at_once)
    speed = n / (synchronised_time(sizes.device) - start)
    what = f"recover, 16 restarts, {steps} steps, {codes_at_once} codes at once"
    report.add(what, f"{speed:.1f} images per second", speed=speed)


def recovery_size(sizes: Sizes) -> tuple[int, int]:
    """Images, and steps of each restart."""
    return (2, 3) if sizes.small else (512, 200)


def run_recovery(sizes: Sizes, n: int, steps: int, codes_at_once: int) -> None:
    """Recover latents of n images of 32x32 pixels."""
    torch.manual_seed(0)
    generator = ConvGenerator(256, models.SHAPE).eval().requires_grad_(False).to(sizes.device)
    prior = Normal(256).to(sizes.device)
    with torch.no_grad():
        x = generator(prior.sample(n))
    recover(generator, x, prior, steps=steps, codes_at_once=codes_at_once)


def fid(report: Report, sizes: Sizes) -> None:
    """FID with an untrained network of Inception's size."""
    n = fid_size(sizes)
    seen, took = run_fid(sizes, n)
    what = f"FID of {n:,} images and as many fakes, network of Inception's size"
    value = f"{took:.1f} s, of which the distance {took - seen:.1f} s"
    report.add(what, value, seconds=took)


def fid_size(sizes: Sizes) -> int:
    """The number of images."""
    return 4 if sizes.small else 10_000


def run_fid(sizes: Sizes, n: int) -> tuple[float, float]:
    """Seconds until all images were seen, and in all."""
    from torchvision.models import inception_v3  # noqa: PLC0415  (takes a second)

    device = sizes.device
    network: nn.Module = inception_v3(weights=None, init_weights=False, aux_logits=True).eval()
    network.fc = nn.Identity()
    network.to(device)
    metric = FrechetDistance(2048).to(device)
    start = synchronised_time(device)
    with torch.no_grad():
        for real in (True, False):
            for first in range(0, n, 100):
                x = torch.rand(min(100, n - first), 3, 64, 64, device=device)
                metric.update(network(nn.functional.interpolate(x, 299)).float(), real=real)
    seen = synchronised_time(device) - start
    metric.compute()
    return seen, synchronised_time(device) - start


def demo(report: Report, device: str) -> None:
    """``make demo`` on the device, as far as the CPU's FID."""
    accelerator = "gpu" if device.startswith("cuda") else "cpu"
    start = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "train.py",
            "model=dlsgan",
            "data=mnist5k",
            "experiment=demo",
            f"trainer.accelerator={accelerator}",
            "trainer.devices=1",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    minutes = (time.perf_counter() - start) / 60
    demo_row(report, minutes, done.stdout, done.stderr)


def demo_row(report: Report, minutes: float, output: str, errors: str) -> None:
    """The row of the demo, from what it printed: its FID is in the last column of a table."""
    found = re.search(r"fid/digits ↓\s*\|(.*)\|", output)
    cells = found[1].split("|") if found else []
    try:
        last = float(cells[-1].strip().replace(",", ""))
    except (IndexError, ValueError):
        value = f"no FID: {errors.strip()[-200:]}"
        report.add("make demo", value, False, "an FID")
        return
    value = f"{minutes:.2f} minutes; fid/digits {last:g}"
    required = f"fid/digits at most {1.25 * DEMO_FID:.0f}: the CPU's {DEMO_FID} and a quarter"
    report.add("make demo", value, last <= 1.25 * DEMO_FID, required, minutes=minutes, fid=last)
