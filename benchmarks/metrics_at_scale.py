"""Time and memory of metrics here and in other packages, at the sample sizes of the literature.

Each line is measured in its own process, because of its peak memory; all use the same random
float32 features. With the default 50,000 x 2,048 features a line takes up to tens of minutes.

    python -m benchmarks.metrics_at_scale --threads 2
    python -m benchmarks.metrics_at_scale --samples 2000 --features 256 --root 256
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_prc import prc_features_to_metric

from benchmarks.measuring import Figure, Quiet, write_figures
from lightning_gans.metrics import FrechetDistance, KernelDistance, PrecisionRecall
from lightning_gans.metrics.pairwise import PairwiseMetric

Values = dict[str, float]


def features(samples: int, width: int, seed: int) -> Tensor:
    """Features like those of Inception: nonnegative, unequal in scale, correlated."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(32, width, generator=torch.Generator().manual_seed(0))
    scale = 0.1 + torch.rand(width, generator=torch.Generator().manual_seed(1))
    found = torch.randn(samples, 32, generator=generator) @ mix
    found += 2 * torch.randn(samples, width, generator=generator)
    found += seed / 10
    return found.relu_().mul_(scale / 10)


def compared(metric: PairwiseMetric, real: Tensor, fake: Tensor) -> PairwiseMetric:
    for sample, side in ((real, True), (fake, False)):
        # batches are views, so that the features are in memory once, as in an evaluation
        for batch in torch.split(sample, 50):
            metric.update(batch, real=side)
    return metric


def manifolds(real: Tensor, fake: Tensor, block: int) -> Values:
    values: dict[str, Tensor] = compared(PrecisionRecall(block=block), real, fake).compute()
    return {name: value.item() for name, value in values.items()}


def kernel(real: Tensor, fake: Tensor, block: int) -> Values:
    return {"kid": compared(KernelDistance(block), real, fake).compute().item()}


def fidelity(real: Tensor, fake: Tensor, block: int) -> Values:
    found: Values = prc_features_to_metric(fake, real, save_cpu_ram=True, verbose=False)
    return {name: found[name] for name in ("precision", "recall")}


class Line(NamedTuple):
    """What a measure took: seconds, CPU seconds, gigabytes before and at the peak, and values."""

    name: str
    seconds: float
    cpu: float
    before: float
    peak: float
    values: Values

    def __str__(self) -> str:
        shown = ", ".join(f"{key} {value:.6g}" for key, value in self.values.items())
        times = f"{self.seconds:.1f} | {self.cpu:.1f} | {self.before:.2f} | {self.peak:.2f}"
        return f"| {self.name} | {times} | {shown} |"

    def figures(self, **case: int) -> list[Figure]:
        """The time and the peak memory."""
        return [
            Figure.of("metric", "s", [self.seconds], metric=self.name, **case),
            Figure.of("metric, peak memory", "GB", [self.peak], metric=self.name, **case),
        ]


LINES: dict[str, Callable[[Tensor, Tensor, int], Values]] = {
    "precision, recall, density, coverage": manifolds,
    "torch-fidelity's precision, recall (save_cpu_ram)": fidelity,
    "kernel distance, all pairs": kernel,
}


def gigabytes() -> float:
    """The peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def line(name: str, samples: int, width: int, block: int, threads: int) -> Line:
    """One line of the table; generating the features is not measured."""
    torch.set_num_threads(threads)
    real, fake = features(samples, width, 2), features(samples, width, 3)
    before = gigabytes()
    start, used = time.perf_counter(), time.process_time()
    values = LINES[name](real, fake, block)
    seconds, cpu = time.perf_counter() - start, time.process_time() - used
    return Line(name, seconds, cpu, before, gigabytes(), values)


def root(width: int, threads: int) -> None:
    """The distance between moments of full rank, with the symmetric root and with scipy's."""
    torch.set_num_threads(threads)
    metric = FrechetDistance(width)
    samples = [features(3 * width, width, seed).double() for seed in (2, 3)]
    for sample, real in zip(samples, (True, False), strict=True):
        metric.update(sample, real=real)
    start = time.perf_counter()
    ours = metric.compute().item()
    seconds = time.perf_counter() - start
    m1, m2 = (sample.numpy().mean(0) for sample in samples)
    s1, s2 = (np.cov(sample.numpy(), rowvar=False) for sample in samples)
    start = time.perf_counter()
    covariances = np.trace(s1) + np.trace(s2) - 2 * np.trace(np.real(sqrtm(s1 @ s2)))
    theirs = float((m1 - m2) @ (m1 - m2) + covariances)
    others = time.perf_counter() - start
    print(f"\nroot at {width}: symmetric {seconds:.1f} s, scipy's sqrtm {others:.1f} s")
    print(f"distances {ours:.8g} and {theirs:.8g}, relative {abs(ours - theirs) / theirs:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=2048, help="width")
    parser.add_argument("--root", type=int, default=2048, help="width of the root; 0 for none")
    parser.add_argument("--block", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=LINES, help="one line, not all")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    quiet, figures = Quiet(), list[Figure]()
    print(
        f"{arguments.samples} real and as many fake features of width {arguments.features},"
        f" blocks of {arguments.block}, {arguments.threads} threads; gigabytes of the process are"
        " those before (the features, and what making them took) and at the peak\n"
    )
    print("| measure | seconds | CPU seconds | GB before | GB | values |")
    print("|---|---|---|---|---|---|")
    for name in [arguments.only] if arguments.only else LINES:
        given = (name, arguments.samples, arguments.features, arguments.block, arguments.threads)
        with get_context("spawn").Pool(1) as process:
            found = process.apply(line, given)
        print(found, flush=True)
        figures += found.figures(
            samples=arguments.samples, width=arguments.features, threads=arguments.threads
        )
    if arguments.json:
        write_figures(arguments.json, figures, quiet)
    if arguments.root:
        root(arguments.root, arguments.threads)


if __name__ == "__main__":
    main()
