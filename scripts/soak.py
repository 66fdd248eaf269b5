"""Train a tiny model for a long time, with stops, and write what it took of the machine.

    python -m scripts.soak                       (20,000 iterations, takes five minutes)
    python -m scripts.soak --iterations 500 --page /tmp/page.md --images /tmp    (a trial)

One process trains by the command line, as a person does: it logs, evaluates, draws pictures and
saves checkpoints, is stopped by SIGTERM and Ctrl-C in the middle, and resumes with ``ckpt_path``.
Memory, iteration time, open files and threads must stay flat after a warm-up; the exit status is 1
if one does not, or if a row of the metrics was lost. Other work on the machine disturbs the time.
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lightning_gans.cli import main as command_line

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"
IMAGES = ROOT / "docs" / "images"
BEGIN = "<!-- table: python -m scripts.soak -->"
END = "<!-- end of the table -->"
WINDOWS = 80  # of a run; each is one point of a curve
WARM_UP = 0.1  # share of the iterations, in which caches fill
# the greatest deviations from the median of all windows
MEMORY, TIME = 0.02, 0.10
THREADS = 1  # one watches each loader in use, of which an evaluation has another
STOPS = (signal.SIGTERM, signal.SIGINT)


class Sample(NamedTuple):
    """What one iteration took."""

    step: int
    seconds: float
    memory: float  # resident, in MB
    files: int
    threads: int


class Watch(Callback):
    """Appends a :class:`Sample` of every iteration to a file, and sends this process signals.

    Args:
        file: of the samples.
        stops: the iterations in which a signal arrives, SIGTERM and Ctrl-C in turn.
    """

    def __init__(self, file: str, stops: list[int]) -> None:
        self.file, self.stops = Path(file), stops
        self.kept: list[Sample] = []
        self.started = 0.0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step + 1
        if step in self.stops:
            os.kill(os.getpid(), STOPS[self.stops.index(step) % len(STOPS)])
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.kept.append(Sample(trainer.global_step, time.perf_counter() - self.started, *usage()))
        # the list must not be the memory that grows
        if len(self.kept) == 100:
            self.write()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.write()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.write()

    def write(self) -> None:
        """Append what was kept."""
        with self.file.open("a", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows(self.kept)
        self.kept = []


def usage() -> tuple[float, int, int]:
    """This process's resident memory in MB, open files and threads."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    files, threads = (len(list(Path("/proc/self", what).iterdir())) for what in ("fd", "task"))
    return memory, files, threads


def train(iterations: int, stops: int, folder: Path) -> list[Sample]:
    """Train with stops in a folder; what each iteration took.

    Raises:
        SystemExit: if a run does not resume where it was stopped.
    """
    samples = folder / "samples.csv"
    # within epochs and between evaluations; the first in the warm-up, as of everything
    places = [iterations // 20 + 7] + [iterations * i // stops + 7 for i in range(1, stops)]
    interval = max(20, iterations // 40)
    config = folder / "soak.yaml"
    watch = {
        "class_path": "scripts.soak.Watch",
        "init_args": {"file": str(samples), "stops": places},
    }
    config.write_text(yaml.safe_dump({"trainer": {"callbacks": [watch]}}), encoding="utf-8")
    arguments = [
        "model=dlsgan",
        "data=mnist5k",
        f"--config={config}",
        "trust=scripts.soak",
        "data.batch_size=8",
        "model.latent_dim=8",
        "model.generator.channels=2",
        "model.discriminator.channels=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        f"trainer.max_steps={iterations}",
        f"trainer.val_check_interval={interval}",
        "trainer.limit_val_batches=16",
        "trainer.log_every_n_steps=5",
        f"checkpoint.every={interval // 2}",
    ]
    for place in [*places, iterations]:
        try:
            command_line(["train", *arguments])
        except (SystemExit, KeyboardInterrupt) as stopped:
            print(f"stopped: {stopped!r}", file=sys.stderr)
        (run,) = folder.glob("runs/*/*/*/")
        if not (run / "checkpoints" / f"last-step={place}.ckpt").is_file():
            sys.exit(f"expected a checkpoint of iteration {place} in {run}")
        arguments = [a for a in arguments if not a.startswith("ckpt_path=")] + [f"ckpt_path={run}"]
        gc.collect()
    with samples.open(encoding="utf-8", newline="") as lines:
        rows = [
            Sample(int(a), float(b), float(c), int(d), int(e))
            for a, b, c, d, e in csv.reader(lines)
        ]
    steps = [row.step for row in rows]
    if steps != list(range(1, iterations + 1)):
        sys.exit("expected each iteration once")
    check_rows(run, iterations, interval)
    return rows


def check_rows(run: Path, iterations: int, interval: int) -> None:
    """Exit unless every training and evaluation row of the metrics is there once."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    evaluated = [int(row["step"]) for row in rows if row.get("evaluation/samples")]
    trained = [int(row["step"]) for row in rows if not row.get("evaluation/samples")]
    if evaluated != list(range(0, iterations + 1, interval)):
        sys.exit(f"expected an evaluation every {interval} iterations, got {evaluated}")
    if len(set(trained)) != iterations // 5 or len(trained) != len(set(trained)):
        sys.exit(f"expected {iterations // 5} rows of training, got {len(trained)}")


def windows(rows: Sequence[Sample]) -> Iterator[Sample]:
    """The median of each window of iterations, which a few slow ones do not move."""
    size = max(1, len(rows) // WINDOWS)
    for start in range(0, len(rows) - size + 1, size):
        part = rows[start : start + size]
        step, seconds, memory, files, threads = map(statistics.median, zip(*part, strict=True))
        yield Sample(int(step), seconds, memory, int(files), int(threads))


class Verdict(NamedTuple):
    """One row of the table."""

    what: str
    median: str
    deviation: str
    allowed: str
    flat: bool


def verdicts(points: Sequence[Sample]) -> list[Verdict]:
    """Whether each quantity is flat after the warm-up."""
    last = points[-1].step
    kept = [point for point in points if point.step > WARM_UP * last]
    found = []
    for what, unit, values, allowed in (
        ("resident memory", "MB", [p.memory for p in kept], MEMORY),
        ("time of an iteration", "ms", [1000 * p.seconds for p in kept], TIME),
    ):
        middle = statistics.median(values)
        low, high = min(values) / middle - 1, max(values) / middle - 1
        flat = max(-low, high) <= allowed
        spread = f"{low:+.1%} to {high:+.1%}"
        found.append(Verdict(what, f"{middle:.4g} {unit}", spread, f"±{allowed:.0%}", flat))
    for what, counts, more in (
        ("open files", [p.files for p in kept], 0),
        ("threads", [p.threads for p in kept], THREADS),
    ):
        usual = int(statistics.median(counts))
        least, most = min(counts) - usual, max(counts) - usual
        flat = max(-least, most) <= more
        found.append(Verdict(what, str(usual), f"{least:+} to {most:+}", f"±{more}", flat))
    return found


def table(found: Sequence[Verdict], iterations: int, stops: int) -> str:
    """The table and the curves in Markdown, with a sentence on what was run."""
    lines = [
        f"{iterations:,} iterations with 40 evaluations and {stops} stops, in one process; medians "
        f"of {WINDOWS} windows, without the first {WARM_UP:.0%}. No row of the metrics was lost.",
        "",
        "| what | median | deviation of a window | allowed |",
        "|---|---|---|---|",
        *(f"| {v.what} | {v.median} | {v.deviation} | {v.allowed} |" for v in found),
        "",
        *(f"![{name}](images/soak_{name}.png)" for name in ("memory", "time", "handles")),
    ]
    return "\n".join(lines)


def draw(points: Sequence[Sample], images: Path) -> None:
    """Draw the three curves, each a small PNG file."""
    steps = [point.step for point in points]
    curves: dict[str, tuple[str, dict[str, list[float]]]] = {
        "memory": ("resident memory in MB", {"": [p.memory for p in points]}),
        "time": ("time of an iteration in ms", {"": [1000 * p.seconds for p in points]}),
        "handles": (
            "count",
            {
                "open files": [float(p.files) for p in points],
                "threads": [float(p.threads) for p in points],
            },
        ),
    }
    for name, (label, series) in curves.items():
        figure = Figure(figsize=(5, 2.5), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for legend, values in series.items():
            axes.plot(steps, values, label=legend, linewidth=1)
        axes.axvspan(0, WARM_UP * steps[-1], color="0.92", linewidth=0)  # the warm-up
        axes.set_ylim(0, 1.2 * max(max(values) for values in series.values()))
        axes.set_xlim(0, steps[-1])
        axes.set_xlabel("iterations")
        axes.set_ylabel(label)
        if len(series) > 1:
            axes.legend(loc="lower right")
        figure.savefig(images / f"soak_{name}.png")


def main() -> int:
    """Train, draw, and write the table; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--stops", type=int, default=6)
    parser.add_argument("--page", type=Path, default=PAGE, help="whose table is rewritten")
    parser.add_argument("--images", type=Path, default=IMAGES, help="the folder of the curves")
    arguments = parser.parse_args()
    page, images = arguments.page.resolve(), arguments.images.resolve()
    sys.path.insert(0, str(ROOT))  # scripts.soak, from another working folder
    torch.set_num_threads(1)  # a tiny network is slower on several
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        os.chdir(temporary)
        rows = train(arguments.iterations, arguments.stops, Path(temporary))
        os.chdir(ROOT)
    points = list(windows(rows))
    found = verdicts(points)
    draw(points, images)
    text = table(found, arguments.iterations, arguments.stops)
    print(text)
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"expected the lines '{BEGIN}' and '{END}' in {page}; put them back")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
    for verdict in found:
        if not verdict.flat:
            print(
                f"{verdict.what} is not flat: {verdict.deviation}, allowed {verdict.allowed}",
                file=sys.stderr,
            )
    return int(not all(verdict.flat for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
