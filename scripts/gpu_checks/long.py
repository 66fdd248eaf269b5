"""AnoDLSGAN at its published width and length, compared with the thesis's Table 5.

The training is that of ``scripts/published_ood.py``. It takes longer than a call of ten minutes, so
each call goes on with it and the last one adds the table.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import published_ood
from published_ood import CORRUPTIONS

from gpu_checks.report import Report

# AUROC of the NLL in %, means of seven trainings (thesis, Table 5), in the order of NAMES
NAMES = (*CORRUPTIONS, "fashion_mnist")
THESIS = {
    "dlsgan": {
        "near": (50.7, 93.5, 66.6, 85.1, 100.0, 99.4, 70.8, 72.0, 91.0, 87.6, 99.8),
        "far": (95.0, 100.0, 99.9, 100.0, 100.0, 100.0, 99.5, 99.4, 99.9, 100.0, 100.0),
    },
    "infogan": {
        "near": (50.7, 57.1, 52.6, 55.8, 97.2, 67.3, 52.5, 53.6, 61.0, 57.5, 73.3),
        "far": (69.7, 100.0, 93.4, 96.7, 100.0, 100.0, 89.7, 86.5, 94.3, 99.9, 100.0),
    },
    "msegan": {
        "near": (50.6, 59.4, 52.5, 55.9, 97.6, 68.3, 52.7, 54.9, 63.8, 57.1, 73.8),
        "far": (68.5, 100.0, 93.5, 97.6, 100.0, 100.0, 91.1, 87.6, 95.0, 99.9, 100.0),
    },
}
# points by which one training may differ from the mean of seven
TOLERANCE = 3.0
# seconds that a call keeps for its evaluation and for saving
KEPT = 60.0


def check(
    report: Report,
    device: str,
    small: bool = False,
    data: Path = Path("data"),
    folder: Path = Path("published_ood"),
    methods: tuple[str, ...] = ("dlsgan",),
) -> None:
    """Train as long as there is time, and add the table when the training is complete.

    Args:
        report: of the rows.
        device: to train on.
        small: whether to train tiny networks for a moment, to test that everything runs.
        data: the folder of MNIST, MNIST-C and FashionMNIST, as ``published_ood`` reads it.
        folder: of the training's results and state.
        methods: to train side by side.
    """
    try:
        published_ood.read_pixels(data, "mnist_train")
    except OSError:
        value = f"no {data}/MNIST/raw/train-images-idx3-ubyte: give --data"
        report.add("anodlsgan_mnist at its published length", value)
        return
    arguments = ["--device", device, "--data", str(data), "--out", str(folder), "--resume"]
    arguments += ["--method", ",".join(methods)]
    if report.remaining < float("inf"):
        arguments += ["--seconds", str(max(0.0, report.remaining - KEPT))]
    if small:
        arguments += [*("--channels", "2"), *("--batch", "8"), *("--iterations", "4")]
        arguments += [*("--epoch", "2"), *("--log", "2"), *("--evaluate", "2")]
    report.attempt("training", partial(published_ood.main, arguments), once=False)
    for method in methods:
        run = partial(table, report, folder, method, small)
        report.attempt(f"table of {method}", run, once=False)


def table(report: Report, folder: Path, method: str, small: bool) -> None:
    """The rows of one method: its progress, or its results."""
    text = (folder / f"{method}.jsonl").read_text(encoding="utf-8")
    events: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    what = f"{method}, published width and length"
    result = next((e for e in reversed(events) if e["event"] == "result"), None)
    if result is None:
        seen = [e["iteration"] for e in events if "iteration" in e]
        value = f"{max(seen, default=0):,} iterations so far; call again to go on"
        report.add(f"{what}: training", value)
        return
    minutes = result["train"] / 60
    value = f"{result['iterations']:,} iterations in {minutes:.1f} minutes"
    if "peak MiB" in result:
        value += f"; peak {result['peak MiB']:,.0f} MiB"
    report.add(f"{what}: training", value, minutes=minutes)
    nll = result["auroc"]["nll"]
    for kind, published in THESIS[method].items():
        for name, theirs in zip(NAMES, published, strict=True):
            ours = nll[f"{kind}/{name}"]
            value = f"{ours:.1f}; thesis {theirs:.1f}"
            report.add(f"{what}: {kind} {name}, AUROC of the NLL in %", value, auroc=ours)
        theirs = sum(published) / len(published)
        value = f"{nll[kind]:.1f}; thesis {theirs:.1f}"
        row = f"{what}: {kind}, mean AUROC of the NLL in %"
        if small:
            report.add(row, value, auroc=nll[kind])
        else:
            passed = nll[kind] >= theirs - TOLERANCE
            required = f"at least {theirs - TOLERANCE:.1f}"
            report.add(row, value, passed, required, auroc=nll[kind])
