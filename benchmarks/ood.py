"""Images per second of scoring, compared with the forward pass of the encoder alone.

The standard networks of DLSGAN on MNIST's shape with latents of 256, or a trained run. Blocks of
scoring and of the bare pass alternate, so that a busy machine slows both; the ratio of the two is
of CPU time, on which other programs have little effect.

    python -m benchmarks.ood
    python -m benchmarks.ood --ckpt runs/dlsgan/mnist/TIME --images 10000
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import lightning_gans
from benchmarks.measuring import Figure, Quiet, write_figures
from lightning_gans.freed_memory import keep_freed_memory
from lightning_gans.models import DLSGAN, Model
from lightning_gans.ood import scorer


class Took(NamedTuple):
    """Wall-clock seconds and CPU seconds."""

    wall: float
    cpu: float


def timed(function: Callable[[Tensor], object], x: Tensor, batch: int) -> Took:
    """The time of a function on all images, in batches."""
    begun = time.perf_counter(), time.process_time()
    for part in torch.split(x, batch):
        function(part)
    return Took(time.perf_counter() - begun[0], time.process_time() - begun[1])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ckpt", help="a run's folder or a checkpoint")
    parser.add_argument("--images", type=int, default=1000, help="of each block")
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    quiet = Quiet()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as each command does
    torch.manual_seed(0)
    model: Model = DLSGAN((1, 32, 32), latent_dim=256)
    if given.ckpt:
        model = lightning_gans.load(given.ckpt)
    model.eval()
    x = torch.rand(given.images, *model.image_shape) * 2 - 1

    @torch.no_grad()
    def bare(part: Tensor) -> Tensor:
        code: Tensor = model.encoding(part).code
        return code

    kinds: dict[str, Callable[[Tensor], object]] = {
        " + ".join(names): scorer(model, names)
        for names in (("nll",), ("nll", "typicality"), ("nll", "typicality", "reconstruction"))
    }
    for function in (bare, *kinds.values()):
        function(x[: given.batch])  # one-time costs are not measured
    took: dict[str, list[float]] = {name: [] for name in kinds}
    ratios: dict[str, list[float]] = {name: [] for name in kinds}
    alone: list[float] = []
    for _ in range(given.rounds):
        for name, function in kinds.items():
            # before and after, so that an even drift cancels
            before = timed(bare, x, given.batch)
            own = timed(function, x, given.batch)
            after = timed(bare, x, given.batch)
            alone += [before.wall, after.wall]
            took[name].append(own.wall)
            ratios[name].append(2 * own.cpu / (before.cpu + after.cpu))
    print(f"{type(model).__name__}, {given.images} images in batches of {given.batch},", end=" ")
    print(f"{torch.get_num_threads()} threads, medians of {given.rounds} rounds\n")
    print("| scores | images a second | times the encoder's pass |\n|---|---|---|")
    print(f"| none: the encoder's pass | {given.images / statistics.median(alone):.0f} | 1 |")
    for name in kinds:
        rate = given.images / statistics.median(took[name])
        print(f"| {name} | {rate:.0f} | {statistics.median(ratios[name]):.3f} |")
    if given.json:
        found, threads = list[Figure](), given.threads
        for name in kinds:
            rates = [given.images / seconds for seconds in took[name]]
            found.append(Figure.of("rate", "images/s", rates, scores=name, threads=threads))
            found.append(
                Figure.of("over the encoder's pass", "", ratios[name], scores=name, threads=threads)
            )
        write_figures(given.json, found, quiet)


if __name__ == "__main__":
    main()
