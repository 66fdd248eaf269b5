"""What each part of an evaluation takes for 1,000 images, and how that grows with their number.

DLSGAN on digits with the digit classifier's features. The first evaluation also computes the
features of the real images; later ones find them in a file.

    python -m benchmarks.evaluation_time
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.floor import Stopwatch
from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.callbacks import Evaluation
from lightning_gans.data import MNIST5k
from lightning_gans.data.mnist5k import read_digits
from lightning_gans.data.tensors import TensorImages
from lightning_gans.freed_memory import keep_freed_memory
from lightning_gans.metrics import DigitFeatures
from lightning_gans.models import DLSGAN


class Digits(MNIST5k):
    """The first digits of all as validation images.

    Args:
        count: how many, up to 5,000.
        batch_size: images in a batch.
    """

    def __init__(self, count: int, batch_size: int = 100) -> None:
        super().__init__(batch_size)
        self.count = count

    def setup(self, stage: str | None = None) -> None:
        if not hasattr(self, "validation_set"):
            images, labels = read_digits()
            images, labels = pad(images, (2,) * 4)[: self.count], labels[: self.count]
            self.train_set = self.validation_set = TensorImages(images, labels)


class TimedFeatures(DigitFeatures):
    """Digit features, as a part of the time."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def __call__(self, images: Tensor) -> Tensor:
        self.watch.enter("features")
        try:
            return super().__call__(images)
        finally:
            self.watch.leave()


def evaluations(model: DLSGAN, data: Digits, rounds: int, cache: str) -> list[dict[str, float]]:
    """Seconds by part of each evaluation; the first computes what the later ones find."""
    watch = Stopwatch("rest")
    evaluation = Evaluation(TimedFeatures(watch), cache=cache)
    hooks = []
    for network, part in ((model.generator, "draw"), (model.discriminator, "encode")):
        hooks += [
            network.register_forward_pre_hook(lambda *_, part=part: watch.enter(part)),
            network.register_forward_hook(lambda *_: watch.leave()),
        ]
    for measurement in evaluation.measurements:
        for name in ("start", "update", "results"):
            setattr(
                measurement,
                name,
                watch.around(type(measurement).__name__, getattr(measurement, name)),
            )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[evaluation],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    laps = []
    for _ in range(rounds + 1):
        watch.lap()
        trainer.validate(model, data, verbose=False)
        laps.append(watch.lap())
    for hook in hooks:
        hook.remove()
    return laps


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="1000,2000,4000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as each command does
    quiet, found = Quiet(), list[Figure]()
    model = DLSGAN((1, 32, 32), 64)
    with tempfile.TemporaryDirectory() as cache:
        # one-time costs are not measured
        evaluations(model, Digits(100), 1, cache)
        for count in map(int, given.images.split(",")):
            # more images spread the times less
            rounds = max(3, 1000 * given.rounds // count)
            first, *later = evaluations(model, Digits(count), rounds, cache)
            found += figures(count, given.threads, [first], "first")
            found += figures(count, given.threads, later, "later")
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def figures(count: int, threads: int, laps: Sequence[dict[str, float]], which: str) -> list[Figure]:
    """Milliseconds for 1,000 images, of the whole and of each part."""
    case: dict[str, Any] = {"images": count, "threads": threads, "evaluation": which}
    each = partial(Figure.of, unit="ms for 1,000 images")
    scale = 1e6 / count
    parts = dict.fromkeys(part for lap in laps for part in lap)
    return [
        each("evaluation", values=[scale * sum(lap.values()) for lap in laps], **case),
        *(
            each("part", values=[scale * lap.get(part, 0.0) for lap in laps], **case, part=part)
            for part in parts
        ),
    ]


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown: a column for each number of images."""
    columns = list(dict.fromkeys((f.case["images"], f.case["evaluation"]) for f in found))
    parts = list(dict.fromkeys(f.case["part"] for f in found if "part" in f.case))
    by = {(f.case["images"], f.case["evaluation"], f.case.get("part")): f for f in found}

    def value(column: tuple[Any, Any], part: Any) -> str:
        figure = by.get((*column, part))
        if figure is None:
            return ""
        return f"**{digits(figure.median)}**" if part is None else digits(figure.median)

    head = [f"{count:,} images, {which}" for count, which in columns]
    rows = [[part or "whole", *(value(c, part) for c in columns)] for part in (None, *parts)]
    return [table(["ms for 1,000 images", *head], rows)]


if __name__ == "__main__":
    main()
