"""Images per second of ``recover``, and the share of its time outside the generator.

The standard networks on MNIST's shape with latents of 256, compared with a bare loop of as many
forward and backward passes of the generator on batches of the same size, in turns. Then seconds for
each image by restarts and steps, without a regulariser and with ``weight="typical"``. Runs are
whole: what comes before the first step and after the last one counts, so that few steps would show
too large a share.

    python -m benchmarks.recover
    python -m benchmarks.recover --images 4 --threads 2 --json recover.json
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.measuring import Figure, Quiet, digits, in_turns, table, write_figures
from lightning_gans.inversion import Energy, Regularizer, Wasserstein, recover
from lightning_gans.networks import ConvGenerator
from lightning_gans.priors import Normal

LATENT, SHAPE = 256, (1, 32, 32)
AT_ONCE = 1024

Setting = tuple[Regularizer | None, float | Literal["typical"]]
SETTINGS: dict[str, Setting] = {
    "none": (None, 0.0),
    "Wasserstein": (Wasserstein(), 0.1),
    "energy": (Energy(), 0.1),
    "typical": (Wasserstein(), "typical"),
}
# (restarts, steps) of the second table
SIZES = ((1, 20), (4, 20), (16, 20), (16, 5), (16, 40))


def bare(generator: nn.Module, codes: int, steps: int) -> None:
    """The generator's passes alone, on batches as ``recover`` makes them."""
    for first in range(0, codes, AT_ONCE):
        z = torch.randn(min(AT_ONCE, codes - first), LATENT, requires_grad=True)
        for _ in range(steps):
            y = generator(z)
            torch.autograd.grad(y, z, torch.ones_like(y))


def main() -> None:
    """Measure, print two tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--restarts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sizes", action="store_true", help="also the time by restarts and steps")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    generator = ConvGenerator(LATENT, SHAPE).eval().requires_grad_(False)
    prior = Normal(LATENT)
    with torch.no_grad():
        x: Tensor = generator(prior.sample(given.images))
    quiet, figures = Quiet(), list[Figure]()

    def run(setting: Setting, images: int, restarts: int, steps: int) -> None:
        recover(generator, x[:images], prior, *setting, steps=steps, restarts=restarts)

    blocks = {
        name: partial(run, setting, given.images, given.restarts, given.steps)
        for name, setting in SETTINGS.items()
    }
    passes = partial(bare, generator, given.images * given.restarts, given.steps)
    run(SETTINGS["typical"], 1, 1, 2)  # one-time costs are not measured
    # the bare loop is in each round, between the others
    times = in_turns({**blocks, "bare": passes}, given.rounds, warm=0)
    case = {"restarts": given.restarts, "steps": given.steps, "threads": given.threads}
    rows: list[tuple[object, ...]] = []
    for name in SETTINGS:
        shares = [1 - b / t for b, t in zip(times["bare"], times[name], strict=True)]
        each = [t / given.images for t in times[name]]
        found = (
            Figure.of("recover, seconds for each image", "s", each, regulariser=name, **case),
            Figure.of("recover, share outside the generator", "", shares, regulariser=name, **case),
        )
        figures += found
        rows.append((name, digits(1 / found[0].median), f"{100 * found[1].median:.1f} %"))
    print(f"{given.images} images, {given.restarts} restarts, {given.steps} steps,", end=" ")
    print(f"{given.threads} threads, medians of {given.rounds} rounds\n")
    print(table(["regulariser", "images a second", "share outside the generator"], rows))
    if given.sizes:
        rows = []
        for restarts, steps in SIZES:
            images = 16
            turns = {
                name: partial(run, SETTINGS[name], images, restarts, steps)
                for name in ("none", "typical")
            }
            sizes = {"restarts": restarts, "steps": steps, "threads": given.threads}
            taken = [
                Figure.of(
                    "recover, seconds for each image",
                    "s",
                    [t / images for t in seconds],
                    regulariser=name,
                    **sizes,
                )
                for name, seconds in in_turns(turns, 3, warm=0).items()
            ]
            figures += taken
            rows.append((restarts, steps, *map(str, taken)))
        print("\nseconds for each image\n")
        print(table(["restarts", "steps", "no regulariser", "typical"], rows))
    if given.json:
        write_figures(given.json, figures, quiet)


if __name__ == "__main__":
    main()
