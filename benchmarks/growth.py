"""A model of how costs grow, fitted to measured points: to 1024x1024, 10,000,000 images, 256 GPUs.

Nothing is measured here. The figures of ``scaling``, ``memory``, ``evaluation_time`` and
``loading`` are read from files; each formula is a function, and its assumptions are its constants.

    python -m benchmarks.growth docs/performance.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.measuring import Figure, digits, table
from benchmarks.operations import Recorder
from benchmarks.scaling import Case
from lightning_gans.networks import SkipDiscriminator, SkipGenerator

LATENT = 1024  # of the published networks
# docs/gpu.md: one H200, experiment=dlsgan_ffhq at 256x256, batch 8, TF32
GPU_SIDE, GPU_SECONDS, GPU_BYTES, GPU_BATCH = 256, 18.4e-3, 12_562 * 2**20, 8
GPU_MEMORY = 141e9
# a third of an H200's 400 TFLOP/s of TF32: products of one shape, with sorting between them
GPU_PRODUCTS = 130e12
# of one all-reduce among the GPUs of a computer (NVLink), and between computers for each GPU
INSIDE, BETWEEN, GPUS_INSIDE = 200e9, 20e9, 8
FEATURES = 2048  # of Inception
INCEPTION = 2000.0  # images a second on a GPU
CORES = 16  # for each GPU


@dataclass(frozen=True)
class Work:
    """What one iteration computes and moves.

    Attributes:
        products: operations and bytes of each product.
        moved: bytes of everything else: activations, and weights that are stepped and averaged.
        parameters: the number of weights.
    """

    products: Sequence[tuple[float, float]]
    moved: float
    parameters: int

    @property
    def operations(self) -> float:
        """Of all products."""
        return sum(operations for operations, _ in self.products)

    @property
    def fixed(self) -> float:
        """Bytes of weights, gradients, two moments and averages, all float32."""
        return 4 * 5 * self.parameters


@dataclass(frozen=True)
class Rates:
    """What an iteration's time consists of on one machine.

    Attributes:
        loop: seconds that do not depend on the model's size.
        products: operations a second.
        memory: bytes a second.
    """

    loop: float
    products: float
    memory: float

    def seconds(self, work: Work) -> float:
        """Of one iteration: each product is limited by its operations or by its bytes."""
        products = sum(max(o / self.products, b / self.memory) for o, b in work.products)
        return self.loop + products + work.moved / self.memory


def fit(points: Sequence[tuple[Work, float]], memory: float) -> Rates:
    """The loop and the rate of products that fit best, in relative errors.

    Args:
        points: iterations with their seconds.
        memory: bytes a second, which are measured.

    Raises:
        ValueError: for fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"expected at least 3 points, got {len(points)}")

    def best(products: float) -> tuple[float, Rates]:
        bare = Rates(0, products, memory)
        off = [(1 / t, bare.seconds(work) / t - 1) for work, t in points]
        loop = max(0.0, -sum(w * e for w, e in off) / sum(w * w for w, _ in off))
        error = sum((e + loop * w) ** 2 for w, e in off)
        return error, Rates(loop, products, memory)

    candidates = [best(1e9 * 10 ** (step / 200)) for step in range(601)]  # 1 to 1,000 GFLOP/s
    return min(candidates, key=lambda candidate: candidate[0])[1]


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The constant and the slope that fit (x, y) best."""
    x, y = np.array(points).T
    slope, constant = np.polyfit(x, y, 1)
    return float(constant), float(slope)


def all_reduce(parameters: float, processes: int) -> float:
    """Seconds to average the gradients of all parameters, float32, once an iteration.

    A ring sends 2 (K - 1) / K of the bytes through each link; its slowest link decides.
    """
    link = INSIDE if processes <= GPUS_INSIDE else BETWEEN
    return 2 * (processes - 1) / processes * 4 * parameters / link


def neighbours(samples: float, width: int = FEATURES) -> float:
    """Operations of precision, recall, density and coverage: distances of all pairs, three times.

    Real to real, fake to fake and real to fake; each is a product of as many pairs as there are.
    """
    return 3 * 2 * samples**2 * width


def counted(
    generator: nn.Module, discriminator: nn.Module, shape: Sequence[int], batch: int
) -> Work:
    """An iteration of DLSGAN on tensors without content: both turns, r1, the steps, the averages.

    Args:
        generator: on any device; it is moved to torch's ``meta``, where nothing is computed.
        discriminator: likewise.
        shape: of an image.
        batch: images of an iteration.
    """
    generator, discriminator = generator.to("meta"), discriminator.to("meta")
    ours, theirs = list(generator.parameters()), list(discriminator.parameters())
    latent = next(p for p in ours if p.ndim == 2).shape[1]

    def turn(own: list[nn.Parameter], others: list[nn.Parameter], real: bool) -> None:
        for mine, parameters in ((True, own), (False, others)):
            for parameter in parameters:
                parameter.requires_grad_(mine)
                parameter.grad = None
        z = torch.zeros(batch, latent, device="meta")
        fake = discriminator(generator(z))
        loss = softplus(fake.score).mean() + (z - fake.code).square().mean()
        if real:
            x = torch.zeros(batch, *shape, device="meta", requires_grad=True)
            score: Tensor = discriminator(x).score
            (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
            loss = loss + softplus(-score).mean() + slope.flatten(1).square().sum(1).mean()
        torch.autograd.backward(loss, inputs=own)

    with Recorder() as recorder:
        turn(theirs, ours, True)
        turn(ours, theirs, False)
    parameters = sum(p.numel() for p in ours + theirs)
    # a fused step reads weights, gradients and two moments and writes three of them; an average
    # reads two numbers of each weight and writes one
    stepped = 4 * (7 + 3) * parameters
    return Work(
        [(c.operations, c.bytes) for c in recorder.calls if c.operations],
        sum(c.bytes for c in recorder.calls if not c.operations) + stepped,
        parameters,
    )


def of_case(case: Case) -> Work:
    """An iteration that was measured."""
    model = case.model()
    return counted(model.generator, model.discriminator, model.image_shape, case.batch)


@cache
def published(side: int, batch: int = GPU_BATCH) -> Work:
    """The networks of (thesis, section 4.2.1) for this side, in colour."""
    shape = (3, side, side)
    with torch.device("meta"):
        generator = SkipGenerator(LATENT, shape)
        discriminator = SkipDiscriminator(shape, 1, LATENT)
    return counted(generator, discriminator, shape, batch)


def activations(side: int) -> float:
    """Bytes that each further image of the published networks moves."""
    return (published(side, 2 * GPU_BATCH).moved - published(side).moved) / GPU_BATCH


def seconds_on_gpu(side: int) -> float:
    """Of one image of the published networks, in proportion to the bytes that are moved."""
    return GPU_SECONDS * published(side).moved / published(GPU_SIDE).moved


def time_tables(figures: list[Figure], memory: float) -> tuple[Rates, list[str]]:
    """The fit to one thread's iterations, and how far off it is; the published ones only check."""
    found = [
        (case, of_case(case), figure.median / 1000)
        for figure in figures
        if figure.name == "iteration" and (case := Case(**figure.case)).threads == 1  # type: ignore[arg-type]  # from a file
    ]
    rates = fit([(work, t) for case, work, t in found if case.networks == "conv"], memory)
    rows = []
    for case, work, seconds in found:
        expected = rates.seconds(work)
        names = ("networks", "batch", "side", "channels", "latent")
        name = ", ".join(f"{n} {getattr(case, n)}" for n in names)
        checked = "fitted" if case.networks == "conv" else "**not fitted**"
        off = f"{100 * (expected / seconds - 1):+.0f} %"
        rows.append([name, checked, digits(1000 * seconds), digits(1000 * expected), off])
    said = (
        f"One thread: {1000 * rates.loop:.1f} ms + operations of each product / "
        f"({rates.products / 1e9:.0f} GFLOP/s), or its bytes where these take longer, + other "
        f"bytes / ({rates.memory / 1e9:.1f} GB/s, as measured)."
    )
    head = ["iteration", "", "measured, ms", "formula, ms", "off"]
    return rates, [said, "", table(head, rows)]


def size_tables(rates: Rates) -> list[str]:
    """The published networks by side, on this machine's thread and on a GPU."""
    base = published(GPU_SIDE)
    rows, scaled = [], []
    for side in (64, 128, 256, 512, 1024):
        own = published(side)
        gpu = seconds_on_gpu(side)
        # all but what belongs to the weights grows with the batch
        each = (GPU_BYTES - base.fixed) / GPU_BATCH * activations(side) / activations(GPU_SIDE)
        rows.append(
            [
                f"{side}²",
                digits(own.parameters / 1e6),
                digits(own.operations / GPU_BATCH / 1e9),
                digits(own.moved / GPU_BATCH / 1e9),
                digits(rates.seconds(own) / GPU_BATCH),
                digits(1000 * gpu),
                digits(each / 1e9),
                f"{max(0, int((GPU_MEMORY - own.fixed) / each))}",
            ]
        )
        for count in (1, 8, 64, 256):
            compute, wait = GPU_BATCH * gpu, all_reduce(own.parameters, count)
            rate = count * GPU_BATCH / (compute + wait)
            if side in {256, 1024}:
                scaled.append(
                    [
                        f"{side}², {count} GPUs",
                        digits(1000 * compute),
                        digits(1000 * wait),
                        f"{100 * compute / (compute + wait):.0f} %",
                        digits(rate),
                        digits(1e7 / rate / 3600),
                    ]
                )
    sides = [
        "published skip networks",
        "weights, M",
        "GFLOP/image",
        "GB moved/image",
        "s/image, one thread here",
        "ms/image, GPU",
        "GB/image, GPU",
        f"largest batch in {GPU_MEMORY / 1e9:.0f} GB",
    ]
    gpus = [
        f"batch {GPU_BATCH} on each GPU",
        "compute, ms",
        "all-reduce, ms",
        "efficiency",
        "images/s",
        "hours for 10⁷ images",
    ]
    return [table(sides, rows), "", table(gpus, scaled)]


def evaluation_table(figures: list[Figure]) -> list[str]:
    """Evaluations of more images: linear for FID, quadratic for neighbours."""
    measured = sorted(
        (int(f.case["images"]), f.median / 1000 * int(f.case["images"]) / 1000)
        for f in figures
        if f.name == "evaluation" and f.case.get("evaluation") == "later"
    )
    # t = linear n + quadratic n²: relative least squares on the measured numbers of images
    rows_ = np.array([[n / t, n * n / t] for n, t in measured])
    linear, quadratic = nnls(rows_, np.ones(len(rows_)))[0]
    rows = []
    for count, seconds in measured:
        expected = linear * count + quadratic * count**2
        off = f"{100 * (expected / seconds - 1):+.0f} %"
        rows.append([f"{count:,}, digits, here", digits(seconds), digits(expected), off, "", ""])
    for samples in (50_000, 1_000_000, 10_000_000):
        pairs = neighbours(samples) / GPU_PRODUCTS
        whole, features = samples / INCEPTION + pairs, 2 * 4 * FEATURES * samples / 1e9
        name = f"{samples:,}, Inception, one GPU"
        rows.append([name, "", digits(whole), "", digits(pairs), digits(features)])
    head = ["images", "measured, s", "formula, s", "off", "of it neighbours, s", "features, GB"]
    return [table(head, rows)]


def data_table(figures: list[Figure]) -> list[str]:
    """What 10,000,000 files take."""
    count, found = 1e7, {(f.name, f.case.get("side"), f.case.get("format")): f for f in figures}
    rows = []
    for side in (256, 1024):
        gpu = seconds_on_gpu(side)
        for kind in ("png", "jpg"):
            size, load = (found[n, side, kind].median for n in ("file", "loading files"))
            check = found["checking files", side, kind].median
            rows.append(
                [
                    f"{side}², {kind}",
                    digits(count * size / 1e12),
                    digits(count * 3 * side**2 / 1e12),
                    digits(load),
                    digits(1 / gpu),
                    digits(1 / gpu / load),
                    digits(256 * size / gpu / 1e9),
                    digits(count / check / CORES / 3600),
                ]
            )
    order, memory, name = (
        found[n, None, None].median
        for n in ("order of an epoch", "order of an epoch, memory", "name of a file, memory")
    )
    head = [
        "10⁷ images",
        "files, TB",
        "as bytes, TB",
        "images/s, core here",
        "images/s a GPU trains",
        "cores a GPU needs",
        "GB/s of 256 GPUs",
        f"first check, hours of {CORES} cores",
    ]
    said = (
        f"In each process: the order of an epoch, {count * order / 1e9:.1f} s and "
        f"{count * memory / 1e9:.1f} GB; the names of the files, {count * name / 1e9:.1f} GB."
    )
    return [table(head, rows), "", said]


def memory_table(figures: list[Figure]) -> list[str]:
    """Peaks of training against what belongs to weights, and a share of the bytes moved."""
    base = next(f.median for f in figures if f.name == "imports")
    found = [f for f in figures if f.name == "training"]
    known = []
    for figure in found:
        case = Case(**figure.case)  # type: ignore[arg-type]  # read from a file
        one, two = (of_case(replace(case, batch=n * case.batch)) for n in (1, 2))
        # what a batch adds, without what belongs to the weights
        known.append((one.fixed / 1e6, (two.moved - one.moved) / 1e6, figure.median - base))
    # the weights' part is known; what else there is, is a constant and a share
    constant, share = line([(moved, above - fixed) for fixed, moved, above in known])
    rows = []
    for figure, (fixed, moved, above) in zip(found, known, strict=True):
        expected = base + constant + fixed + share * moved
        name = ", ".join(f"{n} {figure.case[n]}" for n in ("batch", "side", "channels"))
        off = f"{100 * (expected / (above + base) - 1):+.0f} %"
        rows.append([name, digits(above + base), digits(expected), off])
    said = (
        f"Peak of training here: {base + constant:.0f} MB (of which {base:.0f} MB are the imports) "
        f"+ 20 bytes a weight + {100 * share:.0f} % of the bytes that an iteration's activations "
        "move."
    )
    return [said, "", table(["training", "measured, MB", "formula, MB", "off"], rows)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="of all figures, written by python -m benchmarks")
    given = parser.parse_args()
    parts = json.loads(Path(given.file).read_text(encoding="utf-8"))["parts"]
    figures = {
        name: [Figure(**f) for f in part["content"]["figures"]]
        for name, part in parts.items()
        if "figures" in (part.get("content") or {})
    }
    # of the largest copies, whose bytes are in no cache but the last
    memory = 1e9 * [f.median for f in figures["floor"] if f.name == "copy"][-1]
    rates, lines = time_tables(figures["scaling"], memory)
    lines += ["", *size_tables(rates)]
    lines += ["", *memory_table(figures["memory"])]
    lines += ["", *evaluation_table(figures["evaluation"])]
    lines += ["", *data_table(figures["loading"])]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
