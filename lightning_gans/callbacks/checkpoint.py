"""Checkpoints of a run: the newest, and the best by a metric."""

from __future__ import annotations

import math
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as stock
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning_utilities.core.rank_zero import rank_zero_info

from lightning_gans.callbacks.signals import REQUEUE, Signals
from lightning_gans.distributed.collectives import all_reduce_max
from lightning_gans.errors import InputError, UserError
from lightning_gans.models.base.alternating import NonFiniteLoss
from lightning_gans.runs.checkpoint_format import is_checkpoint_name
from lightning_gans.runs.folder import FOLDER
from lightning_gans.runs.scheduler import requeue

# how many files of each kind stay
KEPT = {"last": 2, "best": 1, "failed": 1}
# signals from the one that can wait longest on
WEIGHT = (*REQUEUE, signal.SIGTERM, signal.SIGINT)


class FolderInUse(UserError, FileExistsError):
    """A new run was about to write where another run keeps its checkpoints."""


class Requeued(SystemExit):
    """The run is saved, and its job waits in SLURM's queue to go on."""


class Checkpoint(stock.Checkpoint):
    """Saves ``last-step=N.ckpt`` regularly and on every way out, ``best-step=N.ckpt`` on a record.

    N counts iterations. A file is written under a temporary name and renamed when it is whole. The
    newest two are kept, so that there is one to go on from if the newest is damaged; older ones
    that this run wrote are removed, and no other file ever is.

    A checkpoint is of whole iterations. Ctrl-C and SIGTERM stop training after the iteration that
    is being made (a second Ctrl-C at once), in all processes after the same one. Under SLURM,
    SIGUSR1 does so too and puts the job back into the queue. An error within an iteration, or one
    after which a weight is no number, leaves ``failed-step=N.ckpt`` beside the last good one.

    Args:
        every: iterations between two saves.
        monitor: the metric that decides which is best, or its first part: ``fid`` stands for
            ``fid/digits`` or ``fid/inception``, whichever is measured. If it is not measured,
            there is no best.
        mode: whether the least or the greatest value is best.
        minutes: between two saves, if given: whichever is due first. (Lightning's own interval in
            time saves nothing where optimisers are stepped by hand; Lightning #21699.)

    Raises:
        ValueError: if ``every`` is less than 1, or ``minutes`` is not above 0.
    """

    def __init__(
        self,
        every: int = 1000,
        monitor: str = "fid",
        mode: Literal["min", "max"] = "min",
        minutes: float | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"expected every >= 1 iterations between checkpoints, got {every}")
        if minutes is not None and not minutes > 0:
            raise ValueError(f"expected minutes > 0 between checkpoints, or null, got {minutes}")
        if mode not in ("min", "max"):
            raise ValueError(f'expected mode "min" or "max", got "{mode}"')
        self.every, self.minutes, self.monitor, self.mode = every, minutes, monitor, mode
        self.best: float | None = None
        self.written: dict[str, list[str]] = {}  # for each kind, this run's files, newest last
        self.training = False  # whether there is something new to save
        self.whole = True  # whether all of an iteration is done
        self.heard = 0  # which signal all processes know of, as _heard tells
        self.saved_at = time.monotonic()
        self.signals: Signals | None = None

    # Files

    def path(self, trainer: Trainer, kind: str) -> Path:
        """Where the checkpoint of the iterations made so far goes."""
        name = f"{kind}-step={trainer.global_step}.ckpt"
        return Path(trainer.default_root_dir) / FOLDER / name

    def save(self, trainer: Trainer, kind: str) -> None:
        """Write a checkpoint into the run's folder, then remove those that it makes needless."""
        path = self.path(trainer, kind)
        names = self.written.setdefault(kind, [])
        if path.name not in names:
            names.append(path.name)
        needless = self._forget(kind)
        temporary = path.with_suffix(".part")
        trainer.save_checkpoint(temporary)
        self.saved_at = time.monotonic()
        if trainer.is_global_zero:
            temporary.replace(path)
            for name in needless:
                (path.parent / name).unlink(missing_ok=True)

    def _forget(self, kind: str) -> list[str]:
        """The files of a kind that are not kept, which this run then knows no more."""
        names = self.written[kind]
        self.written[kind] = names[-KEPT[kind] :]
        return names[: -KEPT[kind]]

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
        """From here on there is something to save; signals wait for the end of an iteration."""
        self.training, self.whole, self.heard = True, True, 0
        self.saved_at = time.monotonic()
        # Lightning's own handlers talk to the other processes, or save, within an iteration
        self.signals = Signals(second=self._interrupt)

    def _interrupt(self) -> None:
        raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # here what the iteration before logged has been written
        self._obey(trainer, self.heard)
        self.whole = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # this callback is the last: averages and all else have seen the iteration
        self.whole = True
        due = self.minutes is not None and time.monotonic() - self.saved_at >= 60 * self.minutes
        # what one process hears, and what its clock says, all do
        heard, late = all_reduce_max([self._heard(), float(due)], pl_module.device)
        self.heard = int(heard)
        if late or trainer.global_step % self.every == 0:
            self.save(trainer, "last")

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop at once; of several processes each has its own number of batches, and goes on."""
        if trainer.world_size == 1 and self.training:
            self._obey(trainer, int(self._heard()))

    def _heard(self) -> float:
        """The place of the signal that came, from 1 on, the weightiest last; 0 without."""
        caught = self.signals.caught if self.signals else None
        return float(WEIGHT.index(caught) + 1 if caught in WEIGHT else 0)

    def _obey(self, trainer: Trainer, heard: int) -> None:
        """Raise what a signal means, in all processes at the same place.

        Raises:
            SIGTERMException: for SIGTERM.
            KeyboardInterrupt: for Ctrl-C.
            Requeued: if the job was put back into the queue.
            RequeueFailed: if it could not be.
        """
        if not heard:
            return
        caught = WEIGHT[heard - 1]
        if caught == signal.SIGTERM:
            raise SIGTERMException
        if caught == signal.SIGINT:
            raise KeyboardInterrupt
        self.save(trainer, "last")
        self.training = False  # nothing is newer than what was just saved
        if trainer.is_global_zero:
            rank_zero_info(f"job {requeue()} is saved and waits in the queue to go on")
        raise Requeued(128 + int(caught))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best so far; at the end of a fit it is the last one, under another name."""
        if self.training:
            self._obey(trainer, int(all_reduce_max([self._heard()], pl_module.device)[0]))
        value = self.monitored(trainer)
        if trainer.sanity_checking or value is None or not self.is_record(value):
            return
        if trainer.state.fn == TrainerFn.FITTING:
            self.best = value
            self.save(trainer, "best")
        elif trainer.is_global_zero and self.path(trainer, "last").name in self.written.get(
            "last", []
        ):
            self.best = value
            last, best = self.path(trainer, "last"), self.path(trainer, "best")
            shutil.copy(last, best.with_suffix(".part"))
            best.with_suffix(".part").replace(best)
            self.written.setdefault("best", []).append(best.name)
            for name in self._forget("best"):
                (best.parent / name).unlink(missing_ok=True)

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
        everywhere = isinstance(exception, (SIGTERMException, KeyboardInterrupt, NonFiniteLoss))
        if self.training and (trainer.world_size == 1 or everywhere):
            # what cannot be used as input is found before any weight is moved
            whole = self.whole or isinstance(exception, InputError)
            good = whole and all(bool(p.isfinite().all()) for p in pl_module.parameters())
            self.save(trainer, "last" if good else "failed")
        self._leave()

    def _leave(self) -> None:
        self.training = False
        if self.signals is not None:
            self.signals.give_back()
            self.signals = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far, and which files are this run's."""
        return {"best": self.best, "written": {kind: list(n) for kind, n in self.written.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; what is no name of a run's checkpoint is left alone."""
        self.best = state_dict["best"]
        self.written = {
            kind: [name for name in names if is_checkpoint_name(name)]
            for kind, names in state_dict["written"].items()
            if kind in KEPT
        }
