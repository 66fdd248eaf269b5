"""Time per iteration of skip and blurred networks, compared with the same networks in plain form.

Each iteration is a whole one of DLSGAN (skip networks) or PVDGAN (blurred networks): both players,
r1, optimisers and averages. The plain form is that of ``benchmarks/plain_layers.py``. Both forms
start from the same weights and take turns in one process.

    python -m benchmarks.thin_networks --json thin.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks import plain_layers
from benchmarks.measuring import Figure, Quiet, in_turns, ratios, table, write_figures
from lightning_gans import networks
from lightning_gans.optimizers import AdamW

LATENT, SHAPE = 64, (3, 32, 32)


@dataclass(frozen=True)
class Case:
    """Networks of one family, and how long they are measured."""

    family: str
    channels: int
    max_channels: int
    batch: int
    rounds: int
    iterations: int

    def __str__(self) -> str:
        widths = "-".join(str(self.channels * 2**i) for i in range(3))
        return f"{self.family} {widths}, batch {self.batch}"


CASES = [
    Case("skip", 16, 64, batch=8, rounds=9, iterations=4),
    Case("blurred", 16, 64, batch=8, rounds=9, iterations=4),
    Case("skip", 128, 512, batch=4, rounds=3, iterations=1),
    Case("blurred", 128, 512, batch=4, rounds=3, iterations=1),
]


def pair(case: Case, *, plain: bool) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a case, in plain form or the package's."""
    widths: dict[str, Any] = {"channels": case.channels, "max_channels": case.max_channels}
    hidden = {"hidden": 2 * LATENT + 8} if case.family == "skip" else {}
    torch.manual_seed(0)
    if plain:
        skip = case.family == "skip"
        first = plain_layers.SkipGenerator if skip else plain_layers.BlurredGenerator
        second = plain_layers.SkipDiscriminator if skip else plain_layers.BlurredDiscriminator
        return first(LATENT, SHAPE, **widths), second(SHAPE, LATENT, **widths, **hidden)
    ours = case.family.capitalize()
    return (
        getattr(networks, f"{ours}Generator")(LATENT, SHAPE, **widths),
        getattr(networks, f"{ours}Discriminator")(SHAPE, 1, LATENT, **widths, **hidden),
    )


def game(case: Case, generator: nn.Module, discriminator: nn.Module) -> Callable[[], Tensor]:
    """A function that makes one iteration, and returns the sum of both players' losses."""
    ours: list[Tensor] = list(generator.parameters())
    theirs: list[Tensor] = list(discriminator.parameters())
    dtype = ours[0].dtype
    descend_g, descend_d = (AdamW(p, lr=1e-4, weight_decay=0.0) for p in (ours, theirs))
    averages = [p.detach().clone() for p in theirs + ours]
    random = torch.Generator().manual_seed(1)
    images = torch.rand(case.batch, *SHAPE, generator=random, dtype=dtype) * 2 - 1
    v = torch.full((LATENT,), 1e-2, dtype=dtype)
    half = case.batch // 2 if case.family == "blurred" else 0

    def draw() -> Tensor:
        return torch.randn(case.batch, LATENT, generator=random, dtype=dtype)

    def iterate() -> Tensor:
        s = (LATENT * v / v.sum()).sqrt()
        for p in ours:
            p.requires_grad_(False)
        x, z = images.detach().requires_grad_(), draw()
        real, fake = discriminator(x), discriminator(generator(z * s))
        (slope,) = torch.autograd.grad(real.score.sum(), x, create_graph=True)
        loss = (softplus(-real.score) + softplus(fake.score)).mean()
        loss = loss + 3 * slope.flatten(1).square().sum(1).mean()
        loss = loss + (s * (z - fake.code)).square().mean()
        descend_d.zero_grad()
        loss.backward()
        descend_d.step()
        seen = fake.code.detach()
        total: Tensor = loss.detach().clone()
        for p in ours:
            p.requires_grad_(True)
        for p in theirs:
            p.requires_grad_(False)
        z = draw()
        noise = z[:half] * (1 - v).clamp(min=0).sqrt()
        z = torch.cat([real.code[:half].detach() + noise, z[half:]])
        fake = discriminator(generator(z * s))
        loss = softplus(-fake.score).mean() + (s * (z - fake.code))[half:].square().mean()
        if half:
            loss = loss + (real.features[:half].detach() - fake.features[:half]).square().mean()
        descend_g.zero_grad()
        loss.backward()
        descend_g.step()
        for p in theirs:
            p.requires_grad_(True)
        with torch.no_grad():
            v.lerp_(torch.cat([seen, fake.code]).square().mean(0), 1e-3)
            torch._foreach_lerp_(averages, theirs + ours, 1e-3)
        total += loss.detach()
        return total

    return iterate


def repeated(iterate: Callable[[], Tensor], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            iterate()

    return run


def measure(case: Case, threads: int) -> list[Figure]:
    """Milliseconds of an iteration in either form, and the ratio."""
    torch.set_num_threads(threads)
    forms = {
        name: repeated(game(case, *pair(case, plain=name == "plain")), case.iterations)
        for name in ("plain", "ours")
    }
    times = in_turns(forms, case.rounds)
    where: dict[str, Any] = {"networks": str(case), "threads": threads}
    found = [
        Figure.of("iteration", "ms", [1e3 * t / case.iterations for t in kept], form=name, **where)
        for name, kept in times.items()
    ]
    return [*found, Figure.of("plain over ours", "", ratios(times, "plain", "ours"), **where)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--thin", action="store_true", help="only the thin networks")
    arguments = parser.parse_args()
    quiet, figures, rows = Quiet(), list[Figure](), list[list[object]]()
    for threads in arguments.threads:
        for case in CASES[:2] if arguments.thin else CASES:
            found = measure(case, threads)
            figures += found
            rows.append([case, threads, *found])
    print(table(["networks", "threads", "plain, ms", "ours, ms", "plain / ours"], rows))
    if arguments.json:
        write_figures(arguments.json, figures, quiet)


if __name__ == "__main__":
    main()
