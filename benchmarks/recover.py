"""Images per second of ``recover``, and the share of its time outside the generator.

16 restarts, 200 steps, the standard networks on MNIST's shape with latents of 256; it is
compared with a bare loop of as many forward and backward passes of the generator on batches of the
same size, in alternating blocks.

    python benchmarks/recover.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Literal

import torch

from lightning_gans.inversion import Energy, Regularizer, Wasserstein, recover
from lightning_gans.networks import ConvGenerator
from lightning_gans.priors import Normal

LATENT, SHAPE, RESTARTS = 256, (1, 32, 32), 16


def bare(generator: torch.nn.Module, codes: int, steps: int) -> float:
    """Seconds of the generator's passes alone, on batches as ``recover`` makes them."""
    begun = time.perf_counter()
    for first in range(0, codes, 1024):
        z = torch.randn(min(1024, codes - first), LATENT, requires_grad=True)
        for _ in range(steps):
            y = generator(z)
            torch.autograd.grad(y, z, torch.ones_like(y))
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200, help="of each block")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(0)
    generator = ConvGenerator(LATENT, SHAPE).eval().requires_grad_(False)
    prior = Normal(LATENT)
    with torch.no_grad():
        x = generator(prior.sample(given.images))
    settings: dict[str, tuple[Regularizer | None, float | Literal["typical"]]] = {
        "none": (None, 0.0),
        "Wasserstein": (Wasserstein(), 0.1),
        "energy": (Energy(), 0.1),
        "typical": (Wasserstein(), "typical"),
    }
    recover(generator, x[:1], prior, steps=2)  # one-time costs are not measured
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    shares: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(given.rounds):
        for name, (regularizer, weight) in settings.items():
            alone = bare(generator, given.images * RESTARTS, given.steps)
            begun = time.perf_counter()
            recover(generator, x, prior, regularizer, weight, steps=given.steps)
            took = time.perf_counter() - begun
            seconds[name].append(took)
            shares[name].append(1 - alone / took)
    print(f"{given.images} images, {RESTARTS} restarts, {given.steps} steps,", end=" ")
    print(f"{torch.get_num_threads()} threads, medians of {given.rounds} rounds\n")
    print("| regulariser | images a second | share outside the generator |\n|---|---|---|")
    for name in settings:
        rate = given.images / statistics.median(seconds[name])
        print(f"| {name} | {rate:.3f} | {100 * statistics.median(shares[name]):.1f} % |")


if __name__ == "__main__":
    main()
