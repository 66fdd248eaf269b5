"""Times while other processes need the cores: with the package's threads, and with torch's own.

Neighbours come after the start. Each computes without a pause; "of their own" are such that the
scheduler treats each as it treats this whole process, "of one" share what it would give to one
(a session: what is started from another terminal).

    python -m benchmarks.neighbours
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.freed_memory import keep_freed_memory
from lightning_gans.threads import fitted, kept

# name, number of neighbours, whether each has a session of its own, seconds before it is measured
PHASES: Sequence[tuple[str, int, bool, float]] = (
    ("quiet", 0, True, 1.0),
    ("1 neighbour", 1, True, 1.5),
    ("quiet again", 0, True, 3.8),
    ("3 neighbours of one session", 3, False, 1.5),
    ("3 neighbours of their own", 3, True, 0.5),
)
SECONDS = 1.5  # for which a phase is measured
# the neighbour ends with this process, whatever ends it
BUSY = """
import os, sys
for _ in range(int(sys.argv[2]) - 1):
    if os.fork() == 0:
        break
while os.path.exists(f"/proc/{sys.argv[1]}"):
    for _ in range(10**6):
        pass
"""
WAYS = {"this package": True, "torch's own": False}


@contextmanager
def neighbours(count: int, own_sessions: bool) -> Iterator[None]:
    """Processes that compute without a pause."""
    each = [1] * count if own_sessions else [count] * bool(count)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", BUSY, str(os.getpid()), str(n)], start_new_session=True
        )
        for n in each
    ]
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Clock:
    """Times what is done again and again, phase by phase."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.threads: dict[str, int] = {}
        self.phases = self._phases()
        next(self.phases)

    def tick(self) -> bool:
        """Once more was done; whether there is more to time."""
        return next(self.phases, None) is not None

    def _phases(self) -> Iterator[str]:
        yield "start"  # what comes before the first tick is not timed
        for name, count, own_sessions, settle in PHASES:
            with neighbours(count, own_sessions):
                began = last = time.perf_counter()
                found = self.times.setdefault(name, [])
                while last - began < settle + SECONDS or len(found) < 3:
                    yield name
                    now = time.perf_counter()
                    # what began within the time to settle does not count
                    if last - began >= settle:
                        found.append(now - last)
                    last = now
                choice = kept()
                import torch  # noqa: PLC0415  (the environment is set first)

                self.threads[name] = choice.count if choice else torch.get_num_threads()


def train(clock: Clock) -> None:
    """Iterations of ``model=dlsgan``."""
    from lightning.pytorch import Callback, Trainer  # noqa: PLC0415  (the environment is set first)

    from lightning_gans.callbacks.pace import Pace  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.data import MNIST5k  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.models import DLSGAN  # noqa: PLC0415  (the environment is set first)

    class Tick(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
            trainer.should_stop = not clock.tick()

    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            max_epochs=-1,
            logger=False,
            callbacks=[Pace(), Tick()],
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            limit_val_batches=0,
        ).fit(DLSGAN((1, 32, 32), 64, r1=0.1), MNIST5k())


def recovery(clock: Clock) -> None:
    """``recover`` of 2 images, 16 restarts, 10 steps."""
    import torch  # noqa: PLC0415  (the environment is set first)

    from lightning_gans.inversion import recover  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.networks import ConvGenerator  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.priors import Normal  # noqa: PLC0415  (the environment is set first)

    generator = ConvGenerator(256, (1, 32, 32)).eval().requires_grad_(False)
    prior = Normal(256)
    with torch.no_grad():
        x = generator(prior.sample(2))
    while clock.tick():
        recover(generator, x, prior, steps=10)


def scoring(clock: Clock) -> None:
    """``ood score`` of 250 images: the nll of DLSGAN."""
    import torch  # noqa: PLC0415  (the environment is set first)

    from lightning_gans.models import DLSGAN  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.ood import scorer  # noqa: PLC0415  (the environment is set first)

    score = scorer(DLSGAN((1, 32, 32), 256).eval(), ("nll",))
    x = torch.rand(250, 1, 32, 32) * 2 - 1
    while clock.tick():
        score(x)


def evaluating(clock: Clock) -> None:
    """Whole evaluations of DLSGAN, of 1,000 digits in batches of 100."""
    from lightning.pytorch import Trainer  # noqa: PLC0415  (the environment is set first)

    from lightning_gans.callbacks import Evaluation  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.callbacks.pace import Pace  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.data import MNIST5k  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.metrics import DigitFeatures  # noqa: PLC0415  (the environment is set first)
    from lightning_gans.models import DLSGAN  # noqa: PLC0415  (the environment is set first)

    with tempfile.TemporaryDirectory() as cache:
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[Pace(), Evaluation(DigitFeatures(), cache=cache)],
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        model, data = DLSGAN((1, 32, 32), 64), MNIST5k(batch_size=100)
        while clock.tick():
            trainer.validate(model, data, verbose=False)


WORK: dict[str, Callable[[Clock], None]] = {
    "iteration": train,
    "recover": recovery,
    "ood score": scoring,
    "evaluation": evaluating,
}


def one(name: str, fits: bool) -> None:
    """Print the times of one kind of work as JSON."""
    warnings.filterwarnings("ignore")
    with fitted() if fits else nullcontext():
        import torch  # noqa: PLC0415  (the environment is set first)

        if fits:
            keep_freed_memory()
        torch.manual_seed(0)
        clock = Clock()
        WORK[name](clock)
    print(json.dumps({"times": clock.times, "threads": clock.threads}))


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", default=",".join(WORK), help="separated by commas")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one[0], WAYS[given.one[1]])
        return
    quiet, figures, rows = Quiet(), list[Figure](), list[list[str]]()
    unset = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    for work in given.work.split(","):
        for way in WAYS if work == next(iter(WORK)) else ["this package"]:
            command = [sys.executable, "-m", "benchmarks.neighbours", "--one", work, way]
            done = subprocess.run(
                command, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            content = json.loads(done.stdout.splitlines()[-1])
            times: dict[str, list[float]] = content["times"]
            base = statistics.median(times["quiet"])
            row = [f"{work}, {way}"]
            for phase, values in times.items():
                case: dict[str, Any] = {"threads of": way, "neighbours": phase}
                case["threads at the end"] = content["threads"][phase]
                found = Figure.of(work, "ms", [1e3 * t for t in values], **case)
                over = statistics.median(values) / base
                figures += [found, Figure.of(f"{work} over quiet", "", [over], **case)]
                print(f"{work}, {way}, {phase}: {found}", file=sys.stderr, flush=True)
                row.append(f"{digits(found.median)} ({over:.2f}; {content['threads'][phase]})")
            rows.append(row)
    print("ms (times quiet; threads)\n")
    print(table(["", *(name for name, *_ in PHASES)], rows))
    if given.json:
        write_figures(given.json, figures, quiet)


if __name__ == "__main__":
    main()
