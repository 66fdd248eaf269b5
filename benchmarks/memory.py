"""Peak memory of training and of evaluations, each in a process of its own.

python -m benchmarks.memory
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import astuple
from multiprocessing import get_context

import torch

from benchmarks.evaluation_time import Digits
from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from benchmarks.metrics_at_scale import gigabytes
from benchmarks.scaling import Case, visit
from lightning_gans.callbacks import Evaluation
from lightning_gans.metrics import DigitFeatures
from lightning_gans.models import DLSGAN

TRAININGS = [
    *(Case(batch=n) for n in (8, 32, 128)),
    *(Case(side=n) for n in (64, 128)),
    Case(channels=64),
    Case(batch=128, side=64),
]
EVALUATIONS = (1000, 5000)


def training(case: Case) -> float:
    """The peak in MB after some iterations."""
    visit(case.model(), case, 3, limit=60)
    return 1000 * gigabytes()


def evaluation(images: int) -> float:
    """The peak in MB after one evaluation."""
    from lightning.pytorch import Trainer  # noqa: PLC0415  (in the process that is measured)

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[Evaluation(DigitFeatures(), cache=cache)],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        ).validate(DLSGAN((1, 32, 32), 64), Digits(images), verbose=False)
    return 1000 * gigabytes()


def nothing(_: object) -> float:
    """The peak in MB of a process that has only imported all this."""
    return 1000 * gigabytes()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    quiet = Quiet()
    # its processes have the modules in memory already, and nothing else
    context = get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        context.set_forkserver_preload(["benchmarks.evaluation_time", "benchmarks.scaling"])

    def peak(function: object, argument: object) -> float:
        with context.Pool(1) as process:
            found: float = process.apply(function, (argument,))  # type: ignore[arg-type]  # picklable
        return found

    found = [Figure.of("imports", "MB", [peak(nothing, 0)])]
    for case in TRAININGS:
        labels = dict(zip(Case.__dataclass_fields__, astuple(case), strict=True))
        found.append(Figure.of("training", "MB", [peak(training, case)], **labels))
    for images in EVALUATIONS:
        peaks = [peak(evaluation, images)]
        found.append(Figure.of("evaluation", "MB", peaks, images=images))
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown."""
    base = next(f.median for f in found if f.name == "imports")
    rows = []
    for figure in found:
        case = ", ".join(f"{k} {v}" for k, v in figure.case.items() if k != "threads")
        above = digits(figure.median - base)
        rows.append([f"{figure.name} {case}".strip(), digits(figure.median), above])
    return [table(["process", "peak, MB", "above the imports, MB"], rows)]


if __name__ == "__main__":
    main()
