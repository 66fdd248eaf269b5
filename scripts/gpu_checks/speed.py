"""Time per iteration, compared with a bare loop and with the GPU's peak rate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gpu_checks import models
from gpu_checks.report import Report
from gpu_checks.timing import Sizes, bare_loop, synchronised_time, timed
from lightning_gans.models.base import alternating

KINDS = {"32-true": "TF32", "bf16-mixed": "bfloat16"}
DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
LAYOUTS = (torch.contiguous_format, torch.channels_last)


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of matrix products and convolutions.

    A multiplication and an addition count as two. torch's own counter also follows modules, and
    fails where gradients are differentiated.
    """

    operations = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.operations += count(*args, **(kwargs or {}), out_val=found)
        return found


def check(report: Report, device: str, small: bool = False) -> None:
    """Run all checks of this part."""
    sizes = Sizes(device, small)
    torch.backends.cudnn.benchmark = True
    with models.tf32(True):
        for precision in KINDS:
            report.attempt(f"rate, {precision}", partial(rate_row, report, sizes, precision))
        report.attempt("operations", partial(operations_row, report, sizes))
        for batch in sizes.batches:
            for precision in KINDS:
                for layout in LAYOUTS:
                    run = partial(ffhq, report, sizes, batch, precision, layout)
                    report.attempt(f"{batch} {precision} {layout}", run)
        report.attempt("digits", partial(digits, report, sizes))
        report.attempt("finite losses", partial(loss_check, report, sizes))


@cache
def rate(sizes: Sizes, precision: str) -> float:
    """Operations per second of the device in a large matrix product."""
    side, repeats = product_size(sizes)
    a, b = (torch.randn(side, side, device=sizes.device, dtype=DTYPES[precision]) for _ in range(2))
    for _ in range(3):
        a @ b
    start = synchronised_time(sizes.device)
    for _ in range(repeats):
        a @ b
    return 2.0 * side**3 * repeats / (synchronised_time(sizes.device) - start)


def product_size(sizes: Sizes) -> tuple[int, int]:
    """The side of the matrices, and how often they are multiplied."""
    return (64, 2) if sizes.small else (8192, 10)


def rate_row(report: Report, sizes: Sizes, precision: str) -> None:
    """The device's rate."""
    found = rate(sizes, precision)
    what = f"a product of {product_size(sizes)[0]}³, {KINDS[precision]}"
    report.add(what, f"{found / 1e12:.1f} TFLOP/s", rate=found)


@cache
def operations(sizes: Sizes) -> float:
    """Operations per image of an iteration, of products and convolutions only."""
    model = sizes.dlsgan()
    step = bare_loop(model, sizes.device, models.batches(1, 1, model.image_shape), bf16=False)
    next(step)
    with FlopCounter() as counter:  # type: ignore[no-untyped-call]
        next(step)
    return float(counter.operations)


def operations_row(report: Report, sizes: Sizes) -> None:
    """The operations of ``dlsgan_ffhq``."""
    found = operations(sizes)
    what = f"one iteration of dlsgan_ffhq at {sizes.side}²: products"
    report.add(what, f"{found / 1e9:.1f} GFLOP per image", operations=found)


def ffhq(
    report: Report, sizes: Sizes, batch: int, precision: str, layout: torch.memory_format
) -> None:
    """Seconds per thousand images, compared with the bound that the device's rate sets."""
    compare = layout == torch.contiguous_format
    bound = 1000 * operations(sizes) / rate(sizes, precision)
    took, alone, _ = timed(sizes, sizes.dlsgan, batch, precision, layout, compare)
    thousand = 1000 / batch * took
    kind = "float32 (TF32)" if precision == "32-true" else precision
    order = "" if compare else ", channels_last"
    what = f"dlsgan_ffhq at {sizes.side}², batch {batch}, {kind}{order}"
    value = f"{thousand:.2f} s for 1,000 images; bound {bound:.2f} s ({bound / thousand:.0%})"
    report.add(what, value, seconds=thousand, bound=bound)
    if compare:
        ratio_row(report, what, took / alone, sizes.small)


def ratio_row(report: Report, what: str, ratio: float, small: bool) -> None:
    """The Trainer's time over the bare loop's; tiny networks have no requirement."""
    if small:
        report.add(f"{what}: compared with the bare loop", f"{ratio:.3f}", number=ratio)
    else:
        report.at_most(f"{what}: compared with the bare loop", f"{ratio:.3f}", ratio, 1.03)


def digits(report: Report, sizes: Sizes) -> None:
    """Small networks, for which launching kernels takes most of the time."""
    took, alone, _ = timed(sizes, sizes.digits, 32, "32-true", compare=True, block=100)
    report.add("dlsgan on digits, batch 32", f"{1e3 * took:.2f} ms", seconds=took)
    ratio_row(report, "dlsgan on digits, batch 32", took / alone, sizes.small)


def loss_check(report: Report, sizes: Sizes) -> None:
    """The cost of checking in each turn whether the loss is finite."""
    ways: dict[str, Callable[[Tensor], Callable[[], float]]] = {
        "never": lambda loss: lambda: 0.0,
        "before the step, as implemented": alternating.fetch,
        "before the backward pass": lambda loss: partial(float, loss.item()),
    }
    found: dict[str, list[float]] = {}
    for _ in range(2):
        for name, way in ways.items():
            with patch.object(alternating, "fetch", way):
                took = timed(sizes, sizes.digits, 32, "32-true", block=60).trainer
            found.setdefault(name, []).append(took)
    never = min(found["never"])
    for name, seconds in found.items():
        cost = min(seconds) / never - 1
        what = f"dlsgan on digits, losses checked: {name}"
        value = f"{1e3 * min(seconds):.2f} ms ({cost:+.1%})"
        if name.endswith("as implemented") and not sizes.small:
            report.at_most(what, value, 100 * cost, 1, " %")
        else:
            report.add(what, value, cost=cost)
