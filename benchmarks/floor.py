"""The parts of an iteration of each model, and how far each part is from its floor.

The floor is the time that the same operations need alone: each product (a convolution, a matrix
product, or a gradient of one) at the rate that it reaches when it is repeated on tensors of the
same shapes, everything else at the rate of copying as many bytes. The rates are measured between
the iterations of the Trainer, round by round, so that a drift of the machine's speed affects both.

    python -m benchmarks.floor
    python -m benchmarks.floor --models 'dlsgan;gan' --rounds 15 --threads 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from benchmarks.model_times import models
from benchmarks.operations import Call, Recorder
from lightning_gans.callbacks import EMA
from lightning_gans.compat import callbacks_of
from lightning_gans.data import MNIST5k
from lightning_gans.models import DLSGAN, PVDGAN, Model
from lightning_gans.networks import (
    BlurredDiscriminator,
    BlurredGenerator,
    SkipDiscriminator,
    SkipGenerator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.metrics_csv import MetricsCSV

# in the order of an iteration; "loss" is the rest of training_step, "loop" the rest of it all
PARTS = ("data", "forward", "penalty", "loss", "backward", "step", "averages", "log", "loop")
WARM = 3  # iterations and rounds that are not kept
MATRIX = 1536  # side of the product that gives the greatest rate
COPIES = [2**power for power in range(10, 27, 2)]  # bytes


class Stopwatch:
    """Splits time between parts; a part that is entered within another pauses that one."""

    def __init__(self, outermost: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.parts = [outermost]
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.since = clock()

    @property
    def part(self) -> str:
        """The part that time is now spent in."""
        return self.parts[-1]

    def enter(self, part: str) -> None:
        """Begin a part."""
        self._note()
        self.parts.append(part)

    def leave(self) -> None:
        """Go back to the part around it."""
        self._note()
        self.parts.pop()

    def lap(self) -> dict[str, float]:
        """What was spent since the last lap, in seconds by part; its sum is the whole time."""
        self._note()
        spent, self.spent = dict(self.spent), defaultdict(float)
        return spent

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, as a part."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return timed

    def _note(self) -> None:
        now = self.clock()
        self.spent[self.part] += now - self.since
        self.since = now


class TimedLoader:
    """A loader whose batches are a part of the time."""

    def __init__(self, loader: Any, watch: Stopwatch) -> None:
        self.loader, self.watch = loader, watch

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        following = self.watch.around("data", lambda: next(batches, None))
        while (batch := following()) is not None:
            yield batch


class Rates:
    """The time of calls alone, and of copies, in rounds.

    Args:
        calls: whose products are repeated.
    """

    def __init__(self, calls: list[Call]) -> None:
        self.products = {key(call): call.repeat() for call in calls if call.operations}
        self.operations = {key(call): call.operations for call in calls if call.operations}
        self.seconds: dict[Any, list[float]] = {name: [] for name in self.products}
        self.matrix: list[float] = []
        self.copies: dict[int, list[float]] = {count: [] for count in COPIES}
        self._matrices = torch.randn(2, MATRIX, MATRIX)
        # not zeros, which the system would share between all pages until they are written
        self._buffers = torch.ones(2, COPIES[-1], dtype=torch.uint8)

    def measure(self) -> None:
        """One round of each."""
        for name, product in self.products.items():
            self.seconds[name].append(seconds(product))
        a, b = self._matrices
        self.matrix.append(seconds(lambda: torch.mm(a, b)))
        target, source = self._buffers
        for count, found in self.copies.items():
            # half of the bytes are read, half are written
            to, of = target[: count // 2], source[: count // 2]
            found.append(seconds(partial(to.copy_, of), 20 if count < 10**5 else 1))

    def moving(self, count: float) -> list[float]:
        """Seconds in each round to move as many bytes, between the numbers that were measured."""
        known = sorted(self.copies)
        rounds = zip(*(self.copies[n] for n in known), strict=True)
        return [interpolated(count, known, times) for times in rounds]

    def floors(self, calls: list[Call]) -> list[float]:
        """Seconds of all calls at the rates of each round."""
        products = Counter(key(c) for c in calls if c.operations)
        times = [[n * t for t in self.seconds[name]] for name, n in products.items()]
        moved = Counter((c.bytes / c.tensors, c.tensors) for c in calls if not c.operations)
        for (count, tensors), n in moved.items():
            times.append([n * tensors * t for t in self.moving(count)])
        return [sum(each) for each in zip(*times, strict=True)]


def key(call: Call) -> Any:
    """Equal for products that take equally long."""
    return call.name, call.arguments


def seconds(function: Callable[[], object], repeats: int = 1) -> float:
    """Of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - start) / repeats


def interpolated(count: float, known: Sequence[int], times: Sequence[float]) -> float:
    """Between two points on a line, below the first the first, beyond the last in proportion."""
    if count <= known[0]:
        return times[0]
    if count >= known[-1]:
        return times[-1] * count / known[-1]
    i = next(i for i, n in enumerate(known) if n >= count)
    share = (count - known[i - 1]) / (known[i] - known[i - 1])
    return times[i - 1] + share * (times[i] - times[i - 1])


class Measure(Callback):
    """Times the parts of the Trainer's iterations, and the rates between them.

    It has to be the last callback. After a few iterations it records the operations of one; after
    each of those that follow it measures the rates.

    Args:
        watch: that also times the data.
    """

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch
        self.recorder = Recorder(lambda: watch.part)
        self.rates: Rates | None = None
        self.laps: list[dict[str, float]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the stopwatch around each part."""
        watch = self.watch
        assert isinstance(pl_module, Model)
        # also the parts of a network, which some models call by themselves
        networks = [n for n in pl_module.children() if list(n.parameters())]
        for network in [*networks, *(part for n in networks for part in n.children())]:
            network.register_forward_pre_hook(lambda *_: watch.enter("forward"))
            network.register_forward_hook(lambda *_: watch.leave())
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(lambda *_: watch.enter("step"))
            optimizer.register_step_post_hook(lambda *_: watch.leave())
        targets: list[tuple[Any, str, str]] = [
            (pl_module, "training_step", "loss"),
            (pl_module, "differentiate", "backward"),
            (pl_module, "log", "log"),
            (pl_module, "log_dict", "log"),
            (pl_module, "on_before_batch_transfer", "data"),
            (sys.modules[type(pl_module).__module__], "gradient_penalty", "penalty"),
            *((logger, "log_metrics", "log") for logger in trainer.loggers),
            *(
                (c, "on_train_batch_end", "averages")
                for c in callbacks_of(trainer)
                if type(c) is EMA
            ),
        ]
        self.changed = [(o, n, getattr(o, n)) for o, n, _ in targets if hasattr(o, n)]
        for owner, name, part in targets:
            if hasattr(owner, name):
                setattr(owner, name, watch.around(part, getattr(owner, name)))
        watch.lap()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The module of the model is shared with the models that follow."""
        for owner, name, function in self.changed:
            if not isinstance(owner, nn.Module):
                setattr(owner, name, function)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == WARM:
            self.recorder.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, lap = trainer.global_step, self.watch.lap()
        if step == WARM + 1:
            self.recorder.stop()
            self.rates = Rates(self.recorder.calls)
            for _ in range(WARM):
                self.rates.measure()
            for found in (
                *self.rates.seconds.values(),
                *self.rates.copies.values(),
                self.rates.matrix,
            ):
                found.clear()
        elif step > WARM + 1:
            self.laps.append(lap)
            assert self.rates
            self.rates.measure()
        self.watch.lap()


def thin(latent_dim: int) -> dict[str, Model]:
    """Games on narrow networks of many small operations: skips, blurs, equalised weights."""
    own, shape = partial(AdamW, lr=1e-4), (1, 32, 32)
    game: dict[str, Any] = {"latent_dim": latent_dim, "optimizer": own, "r1": 0.1}
    narrow: dict[str, Any] = {"channels": 16, "max_channels": 64}
    skip = partial(SkipGenerator, **narrow), partial(SkipDiscriminator, **narrow)
    blurred = partial(BlurredGenerator, **narrow), partial(BlurredDiscriminator, **narrow)
    return {
        "dlsgan, thin skip": DLSGAN(shape, generator=skip[0], discriminator=skip[1], **game),
        "pvdgan, thin blurred": PVDGAN(
            shape, generator=blurred[0], discriminator=blurred[1], **game
        ),
    }


def measured(model: Model, data: MNIST5k, rounds: int, threads: int) -> Measure:
    """Train for as many iterations, and a few."""
    torch.set_num_threads(threads)
    watch = Stopwatch("loop")
    found = Measure(watch)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            max_steps=WARM + 1 + rounds,
            max_epochs=-1,
            log_every_n_steps=1,
            logger=MetricsCSV(folder),
            callbacks=[EMA(), found],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(model, TimedLoader(data.train_dataloader(), watch))
    return found


def figures(name: str, found: Measure, case: Mapping[str, Any], every: int) -> list[Figure]:
    """What is known of a model's iteration.

    Args:
        name: of the model.
        found: after its training, which logged each iteration.
        case: what else the figures depend on.
        every: the interval of the log that they are for.
    """
    assert found.rates
    rates, calls = found.rates, found.recorder.calls
    laps = [{**lap, "log": lap.get("log", 0.0) / every} for lap in found.laps]
    labels = {"model": name, **case}

    def figure(what: str, unit: str, values: list[float], **more: Any) -> Figure:
        return Figure.of(what, unit, values, **labels, **more)

    result = [figure("iteration", "ms", [1000 * sum(lap.values()) for lap in laps])]
    result.append(figure("products", "GFLOP", [sum(c.operations for c in calls) / 1e9]))
    moved = [c.bytes for c in calls if not c.operations]
    result.append(figure("moved by other operations", "MB", [sum(moved) / 1e6]))
    result.append(figure("operations", "", [float(len(calls))]))
    floors = rates.floors(calls)
    result.append(figure("floor", "ms", [1000 * floor for floor in floors]))
    count = sum(c.operations for c in calls)
    peaks = [1000 * count * seconds / (2 * MATRIX**3) for seconds in rates.matrix]
    result.append(figure("products as fast as a large matrix product", "ms", peaks))
    shares = [floor / sum(lap.values()) for floor, lap in zip(floors, laps, strict=True)]
    result.append(figure("floor over iteration", "", shares))
    for part in PARTS:
        times = [lap.get(part, 0.0) for lap in laps]
        result.append(figure("part", "ms", [1000 * t for t in times], part=part))
        if alone := rates.floors([c for c in calls if c.part == part]):
            result.append(figure("floor of part", "ms", [1000 * t for t in alone], part=part))
    for kind in dict.fromkeys(c.kind for c in calls if c.operations):
        own = [c for c in calls if c.operations and c.kind == kind]
        gflop = sum(c.operations for c in own) / 1e9
        result.append(figure("products of a kind", "GFLOP", [gflop], kind=kind))
        took = [gflop / floor for floor in rates.floors(own)]
        result.append(figure("their rate alone", "GFLOP/s", took, kind=kind))
    return result


def of_machine(rates: Rates, threads: int) -> list[Figure]:
    """The rates of the machine itself."""
    count = 2 * MATRIX**3 / 1e9
    result = [
        Figure.of("matrix product", "GFLOP/s", [count / t for t in rates.matrix], threads=threads)
    ]
    for size, times in rates.copies.items():
        values = [size / 1e9 / t for t in times]
        result.append(Figure.of("copy", "GB/s", values, threads=threads, bytes=size))
    return result


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help="separated by semicolons; all without")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--latent-dim", type=int, default=64)
    parser.add_argument("--log-every", type=int, default=50, help="iterations between logs")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    quiet, data = Quiet(), MNIST5k()
    data.setup("fit")
    made = {**models(given.latent_dim), **thin(given.latent_dim)}
    names = given.models.split(";") if given.models else list(made)
    found: list[Figure] = []
    for name in names:
        ran = measured(made[name], data, given.rounds, given.threads)
        case = {"threads": given.threads, "batch": data.batch_size}
        own = figures(name, ran, case, given.log_every)
        if not found:
            assert ran.rates
            found += of_machine(ran.rates, given.threads)
        found += own
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def shown(found: list[Figure]) -> list[str]:
    """The tables of these figures, in Markdown."""
    names = list(dict.fromkeys(str(f.case["model"]) for f in found if "model" in f.case))
    by = {(f.name, f.case.get("model"), f.case.get("part"), f.case.get("kind")): f for f in found}

    def value(name: str, model: str, part: str | None = None) -> str:
        figure = by.get((name, model, part, None))
        return digits(figure.median) if figure else ""

    head = [
        "model",
        "iteration, ms",
        "floor, ms",
        "products at the greatest rate, ms",
        "floor / iteration",
        "GFLOP",
        "MB",
        "operations",
    ]
    rows = [
        [
            name,
            str(by["iteration", name, None, None]),
            value("floor", name),
            value("products as fast as a large matrix product", name),
            f"**{value('floor over iteration', name)}**",
            value("products", name),
            value("moved by other operations", name),
            f"{by['operations', name, None, None].median:,.0f}",
        ]
        for name in names
    ]
    parts = [[n, *(value("part", n, part) for part in PARTS)] for n in names]
    floors = [[n, *(value("floor of part", n, part) for part in PARTS)] for n in names]
    kinds = list(dict.fromkeys(str(f.case["kind"]) for f in found if "kind" in f.case))

    def rate(model: str, kind: str) -> str:
        count = by.get(("products of a kind", model, None, kind))
        own = by.get(("their rate alone", model, None, kind))
        return f"{digits(own.median)} ({digits(count.median)})" if count and own else ""

    rates = [[name, *(rate(name, kind) for kind in kinds)] for name in names]
    machine = [
        [f.name + (f" of {f.case['bytes']:,} bytes" if "bytes" in f.case else ""), f.unit, f]
        for f in found
        if f.name in {"matrix product", "copy"}
    ]
    return [
        table(head, rows),
        "",
        table(["ms of each part", *PARTS], parts),
        "",
        table(["floor of each part, ms", *PARTS], floors),
        "",
        table(["GFLOP/s alone (GFLOP)", *kinds], rates),
        "",
        table(["the machine alone", "", "rate"], machine),
    ]


if __name__ == "__main__":
    main()
