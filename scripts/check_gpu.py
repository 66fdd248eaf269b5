"""Check correctness, determinism, synchronisation, speed and memory on a GPU. ``make check-gpu``.

Each check prints one row: check, value, requirement, verdict. Without a GPU, the script reports
that and stops. Where a call may take ten minutes, four of them do all:

    python scripts/check_gpu.py --minutes 9 --only correctness,determinism,synchronisation
    python scripts/check_gpu.py --minutes 9 --only speed,compiled,host,memory,tasks
    python scripts/check_gpu.py --minutes 9 --only long --data data   # twice: it goes on

Rows are stored as they come. ``--resume`` leaves out what a call that was cut off has finished.

    python scripts/check_gpu.py --device cpu --small   # only tests that everything runs
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

# cuBLAS is deterministic only with this setting, which it reads when it is loaded
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from gpu_checks import (
    compiled,
    correctness,
    determinism,
    host,
    long,
    memory,
    speed,
    synchronisation,
    tasks,
)
from gpu_checks.report import HEADER, Report


def parts(
    small: bool = False,
    data: Path = Path("data"),
    out: Path = Path(),
    methods: tuple[str, ...] = ("dlsgan",),
) -> dict[str, Callable[[Report, str], None]]:
    """What can be checked, by name, in order."""
    long_training = partial(long.check, data=data, folder=out / "published_ood", methods=methods)
    return {
        "correctness": correctness.check,
        "determinism": determinism.check,
        "synchronisation": synchronisation.check,
        "speed": partial(speed.check, small=small),
        "compiled": partial(compiled.check, small=small),
        "host": partial(host.check, small=small),
        "memory": partial(memory.check, small=small),
        "tasks": partial(tasks.check, small=small),
        "long": partial(long_training, small=small),
    }


NAMES = tuple(parts())


def main(argv: list[str] | None = None) -> int:
    """Run the checks; return 1 if any of them failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cpu to test that the checks run")
    parser.add_argument("--only", help=f"parts, separated by commas: {', '.join(NAMES)}")
    parser.add_argument(
        "--out", type=Path, help="folder of rows.jsonl and rows.md, not results/check_gpu/DEVICE"
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="of MNIST and MNIST-C")
    parser.add_argument(
        "--methods",
        default="dlsgan",
        help=f"of the long training, side by side: {', '.join(long.THESIS)}",
    )
    parser.add_argument("--small", action="store_true", help="time tiny networks only")
    parser.add_argument("--minutes", type=float, help="after which no further check begins")
    parser.add_argument("--resume", action="store_true", help="leave out what is finished in --out")
    options = parser.parse_args(argv)
    chosen = options.only.split(",") if options.only else list(NAMES)
    for name in chosen:
        if name not in NAMES:
            parser.error(f"no part '{name}'; choose from {', '.join(NAMES)}")
    methods = tuple(options.methods.split(","))
    for name in methods:
        if name not in long.THESIS:
            parser.error(f"no method '{name}'; choose from {', '.join(long.THESIS)}")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here: nothing to check")
        return 0
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    seconds = None if options.minutes is None else 60 * options.minutes
    out = options.out or Path("results", "check_gpu", options.device)
    report = Report(out, device, seconds, options.resume)
    print(HEADER)
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    report.add("device, torch, date", f"{device}, {torch.__version__}, {day}")
    known = parts(options.small, options.data, out, methods)
    for name in chosen:
        report.part = name
        known[name](report, options.device)
    if report.left:
        print(f"no time for {len(report.left)} checks, from '{report.left[0]}'; --resume goes on")
    return int(report.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
