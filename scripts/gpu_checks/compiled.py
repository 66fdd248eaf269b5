"""Compiled networks, compared with the same networks as they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gpu_checks import models
from gpu_checks.report import Report
from gpu_checks.timing import Sizes, timed
from lightning_gans.models import DLSGAN
from lightning_gans.networks import DiscriminatorOutput


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    compiler = Compiler("aot_eager" if small else "inductor")
    torch.backends.cudnn.benchmark = True
    with models.tf32(False):
        report.attempt("equality", partial(equality, report, sizes, compiler))
    with models.tf32(True):
        for name, modify in compiler.ways.items():
            report.attempt(name, partial(speed, report, sizes, name, modify))


class Compiler:
    """Ways to compile a model's networks.

    Args:
        backend: of torch.compile.

    Attributes:
        ways: by name.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.ways: dict[str, Callable[[DLSGAN], None]] = {
            "generator compiled": self.generator,
            "generator compiled, discriminator too": self.both,
            "generator compiled, discriminator too where no penalty needs its gradient": self.apart,
        }

    def generator(self, model: DLSGAN) -> None:
        """Compile the generator, which no penalty differentiates."""
        model.generator.compile(backend=self.backend)

    def both(self, model: DLSGAN) -> None:
        """Compile both networks; r1 needs second derivatives of the discriminator."""
        self.generator(model)
        model.discriminator.compile(backend=self.backend)

    def apart(self, model: DLSGAN) -> None:
        """Compile both; real images, which require a gradient themselves, are scored as usual."""
        self.generator(model)
        plain = model.discriminator.forward
        compiled = torch.compile(plain, backend=self.backend)

        def forward(x: Tensor) -> DiscriminatorOutput:
            penalised = x.requires_grad and x.is_leaf
            output: DiscriminatorOutput = (plain if penalised else compiled)(x)
            return output

        model.discriminator.forward = forward


def equality(report: Report, sizes: Sizes, compiler: Compiler) -> None:
    """Compare a compiled generator's images and gradients with those of the plain one."""
    model = sizes.dlsgan().to(sizes.device)
    z = torch.randn(2, sizes.latent, generator=torch.Generator().manual_seed(2)).to(sizes.device)
    found = []
    for _ in range(2):
        model.zero_grad()
        images = model.generator(z)
        images.square().mean().backward()
        grads = {n: p.grad for n, p in model.generator.named_parameters() if p.grad is not None}
        found.append({"images": images.detach(), **{n: g.clone() for n, g in grads.items()}})
        compiler.generator(model)
    worst = max(
        float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))
        for ours, theirs in zip(found[1].values(), found[0].values(), strict=True)
    )
    what = "generator of dlsgan_ffhq, float32: images and gradients, compiled compared with plain"
    report.at_most(what, f"{worst:.1e}", worst, 1e-3)


def speed(report: Report, sizes: Sizes, name: str, modify: Callable[[DLSGAN], None]) -> None:
    """Seconds per thousand images, with and without; or why torch cannot compile it."""
    batch, start = sizes.batches[0], time.perf_counter()
    what = f"dlsgan_ffhq at {sizes.side}², batch {batch}, bf16-mixed, {name}"
    run = partial(timed, sizes, sizes.dlsgan, batch, "bf16-mixed")
    try:
        took = run(modify=modify).trainer
    except Exception as error:  # torch documents no common type of what its compilers raise
        report.add(what, f"not possible: {reason(error)}")
        return
    finally:
        torch.compiler.reset()
    spent = time.perf_counter() - start
    plain = run().trainer
    thousand = 1000 / batch * took
    value = f"{thousand:.2f} s for 1,000 images, {plain / took:.2f} times as fast as plain"
    report.add(f"{what}", f"{value}; {spent:.0f} s with its compilation", seconds=thousand)


def reason(error: Exception) -> str:
    """The first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else 'no message'}"
