"""Images per second of ``recover``, and the share of its time outside the generator.

The standard networks on MNIST's shape with latents of 256. The generator's own passes are timed
within the run, so that the share is not a small difference of two long times. Then seconds for each
image by restarts and steps, without a regulariser and with ``weight="typical"``. Runs are whole:
what comes before the first step and after the last one counts, so that few steps would show too
large a share.

    python -m benchmarks.recover
    python -m benchmarks.recover --images 4 64 --steps 100 20 --threads 2 --json recover.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.freed_memory import keep_freed_memory
from lightning_gans.inversion import Energy, Regularizer, Wasserstein, recover
from lightning_gans.networks import ConvGenerator
from lightning_gans.priors import Normal

LATENT, SHAPE = 256, (1, 32, 32)

Setting = tuple[Regularizer | None, float | Literal["typical"]]
SETTINGS: dict[str, Setting] = {
    "none": (None, 0.0),
    "Wasserstein": (Wasserstein(), 0.1),
    "energy": (Energy(), 0.1),
    "typical": (Wasserstein(), "typical"),
}
# (restarts, steps) of the second table
SIZES = ((1, 20), (4, 20), (16, 20), (16, 5), (16, 40))


class Timed(nn.Module):
    """A generator that adds up the seconds of its forward and backward passes."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator
        self.seconds = 0.0

    def forward(self, z: Tensor) -> Tensor:
        begun = time.perf_counter()
        y: Tensor = self.generator(BackwardEnds.apply(z, self))
        self.seconds += time.perf_counter() - begun
        return BackwardBegins.apply(y, self)  # type: ignore[no-any-return]  # apply is untyped


class BackwardBegins(torch.autograd.Function):
    """The identity, where the backward pass enters the generator."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, timed: Timed) -> Tensor:
        ctx.timed = timed
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        ctx.timed.seconds -= time.perf_counter()
        return slope, None


class BackwardEnds(torch.autograd.Function):
    """The identity, where the backward pass leaves it."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, timed: Timed) -> Tensor:
        ctx.timed = timed
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        ctx.timed.seconds += time.perf_counter()
        return slope, None


def main() -> None:
    """Measure, print two tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[64], help="of each batch")
    parser.add_argument("--restarts", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[200], help="of runs of each batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sizes", action="store_true", help="also the time by restarts and steps")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # as each command does
    torch.manual_seed(0)
    generator = ConvGenerator(LATENT, SHAPE).eval().requires_grad_(False)
    prior = Normal(LATENT)
    with torch.no_grad():
        x: Tensor = generator(prior.sample(max(16, *given.images)))
    quiet, figures = Quiet(), list[Figure]()

    def run(name: str, images: int, restarts: int, steps: int) -> tuple[float, float]:
        """Seconds for each image, and the share of them outside the generator."""
        timed, begun = Timed(generator), time.perf_counter()
        recover(timed, x[:images], prior, *SETTINGS[name], steps=steps, restarts=restarts)
        seconds = time.perf_counter() - begun
        return seconds / images, 1 - timed.seconds / seconds

    def measured(
        names: Iterable[str], images: int, restarts: int, steps: int
    ) -> dict[str, tuple[Figure, Figure]]:
        """Both for each regulariser, in turns."""
        rounds = [
            {name: run(name, images, restarts, steps) for name in names}
            for _ in range(given.rounds)
        ]
        found = {}
        for name in names:
            each, shares = zip(*(results[name] for results in rounds), strict=True)
            case: dict[str, str | int | float] = {
                "images": images,
                "restarts": restarts,
                "steps": steps,
                "regulariser": name,
            }
            found[name] = (
                Figure.of("recover, seconds for each image", "s", each, **case),
                Figure.of("recover, share outside the generator", "", shares, **case),
            )
            figures.extend(found[name])
        return found

    run("typical", 1, 1, 2)  # one-time costs are not measured
    rows: list[tuple[object, ...]] = []
    for images, steps in zip(given.images, given.steps, strict=True):
        for name, (each, share) in measured(SETTINGS, images, given.restarts, steps).items():
            percent = f"{100 * share.median:.1f} %"
            rows.append((images * given.restarts, steps, name, digits(1 / each.median), percent))
    print(f"{given.restarts} restarts, {given.threads} threads, medians of {given.rounds} rounds\n")
    names = ["codes", "steps", "regulariser", "images a second", "share outside the generator"]
    print(table(names, rows))
    if given.sizes:
        rows = []
        for restarts, steps in SIZES:
            taken = measured(("none", "typical"), 16, restarts, steps)
            rows.append((restarts, steps, *(str(each) for each, _ in taken.values())))
        print("\nseconds for each image, of 16\n")
        print(table(["restarts", "steps", "no regulariser", "typical"], rows))
    if given.json:
        write_figures(given.json, figures, quiet)


if __name__ == "__main__":
    main()
