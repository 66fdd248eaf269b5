"""What a run tells while it trains: what it is, how far it is, and what was measured."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, Timer
from typing_extensions import override

from lightning_gans.augmentation import NoAugmentation
from lightning_gans.compat import callbacks_of
from lightning_gans.data import DataModule
from lightning_gans.models import AdversarialModule, Encodes, Model
from lightning_gans.runs.measures import number
from lightning_gans.status_line import StatusLine, duration

# measurements that the line shows, by the first parts of their names; of these, at most so many
MEASURED, MOST = ("fid/", "psnr/real", "accuracy", "cluster/purity", "latent/loss"), 2
# seconds after which an older rate counts no longer
RECENT = 30.0
# below so many images, augmentation helps models that encode: measured, it helps with 300 images,
# and with 1,000 reconstructions become worse (docs/own_images.md)
FEW_TO_ENCODERS = 500
# the smallest images of the default networks, in pixels
SMALLEST_SIDE = 16


@final
class Progress(ProgressBar):
    """One line for the whole run, as :class:`~lightning_gans.status_line.StatusLine` draws it.

    Lightning's bar draws twice in each iteration, of which one can take two milliseconds, and anew
    in each epoch, of which one can have a single iteration.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.line = StatusLine()
        self.rate = Rate()
        self.batch: Any = None
        self.began_measuring = 0.0
        self.measuring = 0.0  # seconds that the last evaluation took
        self.measured: list[str] = []
        self.handlers: list[logging.StreamHandler[Any]] = []

    @override
    def disable(self) -> None:
        self.enabled = False

    @override
    def enable(self) -> None:
        self.enabled = True

    @override
    def print(self, *args: Any, **kwargs: Any) -> None:
        self.line.clear()
        super().print(*args, **kwargs)

    # Beginning and end

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self.line.close()
        if self.enabled:
            self.line = StatusLine()
            self.line.above()
            self._redirect()

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _redirect(self) -> None:
        """Let what Lightning logs appear above the line: it keeps the stream of its import."""
        for name in ("lightning.pytorch", "lightning.fabric"):
            for handler in logging.getLogger(name).handlers:
                if (
                    isinstance(handler, logging.StreamHandler)
                    and handler.stream is self.line.replaced.get("stderr")
                    and handler.stream is not None
                ):
                    handler.setStream(sys.stderr)
                    self.handlers.append(handler)

    def _close(self) -> None:
        stream = self.line.replaced.get("stderr")
        for handler in self.handlers:
            handler.setStream(stream)
        self.handlers = []
        self.line.close()

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.enabled:
            self.line.clear()
            for text in introduction(trainer, pl_module):
                print(text, file=sys.stderr, flush=True)

    # Training

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.rate = Rate()
        self.rate.start(trainer.global_step)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.enabled and self.line.due():
            self.batch = batch
            self.line.show(self.describe(trainer))

    def describe(self, trainer: Trainer) -> Iterator[str]:
        """Iterations, images a second, time left, losses and measurements, as far as known."""
        done, total = trainer.global_step, iterations_of(trainer)
        rate = self.rate.at(done)
        yield self.iteration(trainer, done, total, rate)
        if rate:
            rows = rows_of(self.batch)
            images = rows * trainer.world_size * rate
            yield f"{shown(images)} images/s" if rows else f"{shown(rate)} iterations/s"
        left = self.left(trainer, done, total, rate)
        if left is not None:
            yield f"{duration(left)} left"
        for name, value in trainer.progress_bar_metrics.items():
            yield f"{name} {float(value):.3g}"
        yield from self.measured

    def iteration(self, trainer: Trainer, done: int, total: int | None, rate: float) -> str:
        """How many iterations are made, and of how many unless ``max_time`` ends the run first."""
        counted, timed = self.until(trainer, done, total, rate)
        by_time = timed is not None and (counted is None or timed < counted)
        return f"iteration {done:,}" + ("" if total is None or by_time else f" of {total:,}")

    def left(self, trainer: Trainer, done: int, total: int | None, rate: float) -> float | None:
        """Seconds until the end, with the evaluations that are still due."""
        limits = self.until(trainer, done, total, rate)
        return min((limit for limit in limits if limit is not None), default=None)

    def until(
        self, trainer: Trainer, done: int, total: int | None, rate: float
    ) -> tuple[float | None, float | None]:
        """Seconds until the last iteration and until ``max_time`` is over; None where unknown."""
        counted = None
        if total is not None and rate:
            every = trainer.val_check_batch
            due = (total // every - done // every) if every and math.isfinite(every) else 0
            counted = (total - done) / rate + due * self.measuring
        timers = [c for c in callbacks_of(trainer) if isinstance(c, Timer)]
        rests = [rest for timer in timers if (rest := timer.time_remaining()) is not None]
        return counted, min(rests, default=None)

    # Evaluation

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began_measuring = time.monotonic()

    @override
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        sanity = trainer.sanity_checking
        batches = trainer.num_sanity_val_batches if sanity else trainer.num_val_batches
        self._evaluating(trainer, "evaluation", batch_idx, batches)

    @override
    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluating(trainer, "test", batch_idx, trainer.num_test_batches)

    @override
    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._evaluating(trainer, "prediction", batch_idx, trainer.num_predict_batches)

    def _evaluating(self, trainer: Trainer, what: str, index: int, batches: Any) -> None:
        if not self.enabled or not self.line.due():
            return
        total = sum(batches) if isinstance(batches, list) else batches
        parts = [f"{what}: batch {index + 1:,} of {total:,}"]
        if trainer.state.fn == "fit":
            done, of = trainer.global_step, iterations_of(trainer)
            parts.insert(0, self.iteration(trainer, done, of, self.rate.at(done)))
        self.line.show([*parts, *self.measured])

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measuring = time.monotonic() - self.began_measuring
        self.rate.skip(self.measuring)
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        chosen = [name for prefix in MEASURED for name in sorted(found) if name.startswith(prefix)]
        values = [f"{name} {number(found[name])}" for name in chosen[:MOST]]
        step = getattr(pl_module, "iterations", trainer.global_step)
        # these stay on the line until the next evaluation, which may be minutes away
        self.measured = [f"{value} at {step:,}" for value in values]
        if self.enabled:
            parts = [f"evaluation at iteration {step:,}", *values]
            if self.measuring >= 1:
                parts.append(f"in {duration(self.measuring)}")
            self.line.tell(", ".join(parts))
            if self.line.redraws and trainer.state.fn == "fit" and not trainer.sanity_checking:
                self.line.show(self.describe(trainer))


class Rate:
    """Iterations a second of the last half minute to minute of training."""

    def __init__(self) -> None:
        self.older = self.newer = (time.monotonic(), 0)

    def start(self, iterations: int) -> None:
        """Begin to count."""
        self.older = self.newer = (time.monotonic(), iterations)

    def skip(self, seconds: float) -> None:
        """Leave out a time that was no training."""
        self.older = (self.older[0] + seconds, self.older[1])
        self.newer = (self.newer[0] + seconds, self.newer[1])

    def at(self, iterations: int) -> float:
        """The rate, after so many iterations; 0 if it is not known."""
        now = time.monotonic()
        if now - self.newer[0] > RECENT:
            self.older, self.newer = self.newer, (now, iterations)
        seconds, made = now - self.older[0], iterations - self.older[1]
        return made / seconds if seconds > 0 else 0.0


def introduction(trainer: Trainer, model: LightningModule) -> Iterator[str]:
    """Which run it is: its folder, model and data."""
    yield f"run: {trainer.default_root_dir}"
    weights = sum(parameter.numel() for parameter in model.parameters())
    device = trainer.strategy.root_device
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else f"{device}"
    if trainer.world_size > 1:
        where = f"{trainer.world_size} processes"
    yield f"model: {type(model).__name__}, {weights:,} parameters, on {device.type} ({where})"
    data = getattr(trainer, "datamodule", None)
    if data is None:
        return
    sets = {"training": "train_set", "validation": "validation_set"}
    counts = []
    for name, attribute in sets.items():
        found = getattr(data, attribute, None)
        if isinstance(found, Sized):
            counts.append(f"{len(found):,} for {name}")
    shape = model.image_shape if isinstance(model, Model) else ()
    of = f"{' x '.join(map(str, shape))}: " if len(shape) == 3 else ""
    size = getattr(data, "batch_size", None)
    batches = [] if size is None else [f"batches of {size}"]
    yield f"data: {getattr(data, 'name', type(data).__name__)}, {of}{', '.join(counts + batches)}"
    yield from advice(trainer, model, data)


def advice(trainer: Trainer, model: LightningModule, data: object) -> Iterator[str]:
    """What suits images so few or so small, when a run begins without it."""
    if not isinstance(model, AdversarialModule) or not isinstance(data, DataModule):
        return
    begins = model.iterations == 0 and not isinstance(trainer.ckpt_path, (str, Path))
    count = len(data.train_set) if isinstance(data.train_set, Sized) else data.few
    encodes = isinstance(model, Encodes)
    few = min(data.few, FEW_TO_ENCODERS) if encodes else data.few
    if begins and count < few and isinstance(model.augmentation, NoAugmentation):
        option = "model.augmentation"
        # with changed colours and cutouts, codes of real images are learnt badly
        shifts = f" {option}.color=0 {option}.cutout=0" if encodes else ""
        yield (
            f"advice: {count:,} images are few, and a discriminator may learn them by heart; "
            f"{option}=DiffAugment{shifts} helps against it (docs/own_images.md, Small sets)"
        )
    side, original = data.image_shape[-1], data.original_side
    if begins and original is not None and original < side:
        # of the sides that the networks have
        fitting = 2 ** (original.bit_length() - 1)
        instead = f"; data.resolution={fitting} does not enlarge them, and trains faster"
        yield (
            f"advice: most images are enlarged, from {original} to {side} pixels"
            f"{instead if fitting >= SMALLEST_SIDE else ''}"
        )


def iterations_of(trainer: Trainer) -> int | None:
    """How many iterations the whole run has; None if nobody knows."""
    if trainer.max_steps > 0:
        return trainer.max_steps
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    if epochs is None or epochs < 0 or not math.isfinite(batches):
        return None
    return epochs * int(batches)


def rows_of(batch: Any) -> int:
    """The images in a batch; 0 if it is of another kind."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    return len(first) if isinstance(first, Sized) else 0


def shown(rate: float) -> str:
    """A rate with three digits, and no exponent."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
