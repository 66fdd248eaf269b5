"""Checkpoints of a run: the newest, and the best by a metric."""

from __future__ import annotations

import math
import shutil
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as stock
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_gans.checkpoints import FOLDER
from lightning_gans.errors import InputError, UserError


class FolderInUse(UserError, FileExistsError):
    """A new run was about to write where another run keeps its checkpoints."""


class Checkpoint(stock.Checkpoint):
    """Saves ``last-step=N.ckpt`` regularly and on every way out, ``best-step=N.ckpt`` on a record.

    N counts iterations. A file is written under a temporary name and renamed when it is whole; the
    one that this run wrote before is removed only then, and no other file ever is.

    A checkpoint is of whole iterations. Ctrl-C and SIGTERM stop training after the iteration that
    is being made (a second Ctrl-C at once). An error within an iteration, or one after which a
    weight is no number, leaves ``failed-step=N.ckpt`` beside the last good one.

    Args:
        every: iterations between two saves.
        monitor: the metric that decides which is best, or its first part: ``fid`` stands for
            ``fid/digits`` or ``fid/inception``, whichever is measured. If it is not measured,
            there is no best.
        mode: whether the least or the greatest value is best.

    Raises:
        ValueError: if ``every`` is less than 1.
    """

    def __init__(
        self, every: int = 1000, monitor: str = "fid", mode: Literal["min", "max"] = "min"
    ) -> None:
        if every < 1:
            raise ValueError(f"expected every >= 1 iterations between checkpoints, got {every}")
        if mode not in ("min", "max"):
            raise ValueError(f'expected mode "min" or "max", got "{mode}"')
        self.every, self.monitor, self.mode = every, monitor, mode
        self.best: float | None = None
        self.written: dict[str, str] = {}  # for each kind, the name of this run's newest file
        self.training = False  # whether there is something new to save
        self.whole = True  # whether all of an iteration is done
        self.interrupted = False
        self.handler: Any = None

    # Files

    def path(self, trainer: Trainer, kind: str) -> Path:
        """Where the checkpoint of the iterations made so far goes."""
        name = f"{kind}-step={trainer.global_step}.ckpt"
        return Path(trainer.default_root_dir) / FOLDER / name

    def save(self, trainer: Trainer, kind: str) -> None:
        """Write a checkpoint into the run's folder, then remove the one before it."""
        path, older = self.path(trainer, kind), self.written.get(kind)
        self.written[kind] = path.name
        temporary = path.with_suffix(".part")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(path)
            if older and older != path.name:
                (path.parent / older).unlink(missing_ok=True)

    # When

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a folder that holds another run's checkpoints.

        Raises:
            FolderInUse: if so.
        """
        folder = Path(trainer.default_root_dir) / FOLDER
        if not self.written and any(folder.glob("*-step=*.ckpt")):
            raise FolderInUse(
                f"{folder} holds the checkpoints of another run; give the Trainer a "
                "default_root_dir of its own, or ckpt_path to go on with that run"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to save; Ctrl-C waits for the end of an iteration."""
        self.training, self.whole, self.interrupted = True, True, False
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted or self.whole:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.whole = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # this callback is the last: averages and all else have seen the iteration
        self.whole = True
        if self.interrupted:
            raise KeyboardInterrupt
        if trainer.global_step % self.every == 0:
            self.save(trainer, "last")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best so far; at the end of a fit it is the last one, under another name."""
        value = self.monitored(trainer)
        if trainer.sanity_checking or value is None or not self.is_record(value):
            return
        if trainer.state.fn == TrainerFn.FITTING:
            self.best = value
            self.save(trainer, "best")
        elif trainer.is_global_zero and self.written.get("last") == self.path(trainer, "last").name:
            self.best = value
            last, best = self.path(trainer, "last"), self.path(trainer, "best")
            shutil.copy(last, best.with_suffix(".part"))
            best.with_suffix(".part").replace(best)
            older = self.written.get("best")
            if older and older != best.name:
                (best.parent / older).unlink(missing_ok=True)
            self.written["best"] = best.name

    def is_record(self, value: float) -> bool:
        """Whether a value is better than the best so far; what is no number never is."""
        if self.best is None:
            return not math.isnan(value)
        return value < self.best if self.mode == "min" else value > self.best

    def monitored(self, trainer: Trainer) -> float | None:
        """The metric's newest value, if it is measured."""
        for name, value in trainer.callback_metrics.items():
            if name == self.monitor or name.startswith(f"{self.monitor}/"):
                return float(value)
        return None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave()
        self.save(trainer, "last")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what there is, unless other processes, still training, would wait for ever."""
        everywhere = isinstance(exception, (SIGTERMException, KeyboardInterrupt))
        if self.training and (trainer.world_size == 1 or everywhere):
            # what cannot be used as input is found before any weight is moved
            whole = self.whole or isinstance(exception, InputError)
            good = whole and all(bool(p.isfinite().all()) for p in pl_module.parameters())
            self.save(trainer, "last" if good else "failed")
        self._leave()

    def _leave(self) -> None:
        self.training = False
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)
            self.handler = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far, and which files are this run's."""
        return {"best": self.best, "written": dict(self.written)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.written = state_dict["best"], dict(state_dict["written"])
