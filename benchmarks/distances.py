"""Time of a statistical distance's closed form and of the papers' draws, forward and backward.

Both run in turn, in one process and one thread, on the same codes. CPU time is measured, so that
other programs on the machine have little effect. Each code gets new draws in each step, as in the
papers.

    python -m benchmarks.distances
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measuring import Figure, Quiet, write_figures
from lightning_gans import distances
from lightning_gans.priors import Normal, Prior

Step = Callable[[Tensor], Tensor]


def steps(prior: Prior, draws: int) -> dict[str, tuple[Step, Step]]:
    """The closed form of each distance, and the distance from draws."""

    def drawn(z: Tensor) -> Tensor:
        rows = -(-len(z) * draws // prior.dim)
        return prior.sample(rows).flatten()[: len(z) * draws].view(len(z), draws)

    return {
        "Wasserstein, order 1": (
            lambda z: distances.wasserstein(z, prior),
            lambda z: distances.wasserstein_to_draws(z, drawn(z)),
        ),
        "energy": (
            lambda z: distances.energy(z, prior),
            lambda z: distances.energy_to_draws(z, drawn(z)),
        ),
    }


def milliseconds(step: Step, z: Tensor) -> float:
    start = time.process_time()
    torch.autograd.grad(step(z).sum(), z)
    return 1000 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=int, default=64)
    parser.add_argument("--dim", type=int, default=256, help="elements of a code")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    quiet, found = Quiet(), list[Figure]()
    torch.set_num_threads(1)
    prior = Normal(arguments.dim)
    z = prior.sample(arguments.codes).requires_grad_()
    print(
        f"{arguments.codes} codes of {arguments.dim} elements, {z.dtype}, {arguments.draws} draws, "
        f"{arguments.rounds} rounds; medians of forward and backward\n"
    )
    print("| distance | closed form, ms | draws, ms | ratio |")
    print("|---|---|---|---|")
    for name, pair in steps(prior, arguments.draws).items():
        # the first round warms both up
        rounds = [[milliseconds(step, z) for step in pair] for _ in range(arguments.rounds + 1)]
        closed, drawn = (statistics.median(times) for times in zip(*rounds[1:], strict=True))
        # the two alternate, so that a drift of the clock speed affects both
        ratio = statistics.median(theirs / ours for ours, theirs in rounds[1:])
        print(f"| {name} | {closed:.2f} | {drawn:.1f} | {ratio:.0f} |")
        for form, times in zip(
            ("closed form", "draws"), zip(*rounds[1:], strict=True), strict=True
        ):
            found.append(Figure.of(form, "ms", times, distance=name))
    if arguments.json:
        write_figures(arguments.json, found, quiet)


if __name__ == "__main__":
    main()
