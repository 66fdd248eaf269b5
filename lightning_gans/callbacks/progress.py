"""How far a command is: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from typing_extensions import override

# seconds between two redraws of a bar
REDRAWN = 0.1
# seconds between two lines
TOLD = 30.0


def progress() -> ProgressBar:
    """What fits where the output goes: a bar for a terminal, lines for a file or a pipe."""
    return Bar() if sys.stdout.isatty() else Lines()


class Every:
    """Is due when some seconds have passed since it last was.

    Args:
        seconds: between two times.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def due(self) -> bool:
        """Whether it is due; it then starts anew."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


class Bar(TQDMProgressBar):
    """A bar of all iterations, which is redrawn at most ten times a second.

    Lightning's draws twice in each iteration, of which one can take two milliseconds, and anew in
    each epoch, of which one can have a single iteration.
    """

    def __init__(self) -> None:
        super().__init__()
        self.redraw = Every(REDRAWN)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.train_progress_bar.total = trainer.max_steps if trainer.max_steps > 0 else None
        self.train_progress_bar.n = self.train_progress_bar.initial = trainer.global_step

    @override
    def on_train_epoch_start(self, *_: Any) -> None:
        pass

    @override
    def on_train_epoch_end(self, *_: Any) -> None:
        pass

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.redraw.due():
            self._draw(trainer, pl_module)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module)
        super().on_train_end(trainer, pl_module)

    def _draw(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.train_progress_bar.n = trainer.global_step
        self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    @override
    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        if self.redraw.due():
            super().on_validation_batch_end(*args, **kwargs)

    @override
    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        if self.redraw.due():
            super().on_test_batch_end(*args, **kwargs)

    @override
    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> None:
        if self.redraw.due():
            super().on_predict_batch_end(*args, **kwargs)


class Lines(ProgressBar):
    """A line every half minute of training, on the standard error stream."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.started_at, self.started = 0.0, 0
        self.line = Every(TOLD)

    @override
    def disable(self) -> None:
        self.enabled = False

    @override
    def enable(self) -> None:
        self.enabled = True

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started_at, self.started = time.monotonic(), trainer.global_step
        self.line = Every(TOLD)

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.enabled and self.line.due():
            print(self.describe(trainer), file=sys.stderr, flush=True)

    def describe(self, trainer: Trainer) -> str:
        """Iterations, their rate, and the losses that were logged last."""
        done = trainer.global_step
        rate = (done - self.started) / max(1e-9, time.monotonic() - self.started_at)
        of = f" of {trainer.max_steps:,}" if trainer.max_steps > 0 else ""
        losses = [f"{name} {float(v):.4g}" for name, v in trainer.progress_bar_metrics.items()]
        return ", ".join([f"iteration {done:,}{of}", f"{rate:.3g} a second", *losses])
