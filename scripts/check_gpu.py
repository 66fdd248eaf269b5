"""Check correctness, determinism, synchronisation and speed on a GPU. ``make check-gpu``.

Each check prints one row: check, value, verdict. Without a GPU, the script reports that and stops.

    python scripts/check_gpu.py --out results
    python scripts/check_gpu.py --only correctness,synchronisation
    python scripts/check_gpu.py --device cpu --small

The long training for MNIST-C is a script of its own, ``scripts/published_ood.py``.
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
from gpu_checks import correctness, determinism, speed, synchronisation
from gpu_checks.report import Report

PARTS: dict[str, Callable[[Report, str], None]] = {
    "correctness": correctness.check,
    "determinism": determinism.check,
    "synchronisation": synchronisation.check,
    "speed": speed.check,
}


def main(argv: list[str] | None = None) -> int:
    """Run the checks; return 1 if any of them failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cpu to test that the checks run")
    parser.add_argument("--only", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder for rows.jsonl")
    parser.add_argument("--small", action="store_true", help="time tiny networks only")
    options = parser.parse_args(argv)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU here: nothing to check")
        return 0
    chosen = options.only.split(",") if options.only else list(PARTS)
    for name in chosen:
        if name not in PARTS:
            parser.error(f"no part '{name}'; choose from {', '.join(PARTS)}")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    report = Report(options.out)
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else "CPU"
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    print("| check | value | verdict |\n|---|---|---|")
    report.add("device, torch, date", f"{device}, {torch.__version__}, {day}")
    parts: dict[str, Callable[[Report, str], None]] = {
        **PARTS,
        "speed": partial(speed.check, small=options.small),
    }
    for name in chosen:
        report.attempt(name, partial(parts[name], report, options.device))
    return int(report.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
