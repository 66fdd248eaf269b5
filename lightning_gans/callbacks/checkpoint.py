"""Saves the newest checkpoints of a run, and the best by a metric."""

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
from lightning_gans.errors import InputError
from lightning_gans.models.base.alternating import NonFiniteLoss
from lightning_gans.ranges import PositiveFloat, PositiveInt, checked
from lightning_gans.runs.claim import FolderInUse, hold, release
from lightning_gans.runs.folder import FOLDER, checkpoints, is_checkpoint_name
from lightning_gans.runs.scheduler import requeue

# how many files of each kind are kept
KEPT = {"last": 2, "best": 1, "failed": 1}
# signals, the most urgent last
URGENCY = (*REQUEUE, signal.SIGTERM, signal.SIGINT)


class Requeued(SystemExit):
    """The run is saved, and its job is back in SLURM's queue to resume it."""


class Checkpoint(stock.Checkpoint):
    """Saves ``last-step=N.ckpt`` regularly and at every exit, ``best-step=N.ckpt`` on a new best.

    N counts iterations. A file is written under a temporary name and renamed when it is complete.
    The newest two are kept, so that a run can resume even if the newest is damaged; older ones that
    this run wrote are removed. No other file is ever removed.

    A checkpoint is always between two iterations. Ctrl-C and SIGTERM stop training after the
    current iteration (a second Ctrl-C at once), which is the same one in all processes. Under
    SLURM, SIGUSR1 stops it likewise and requeues the job. After an error within an iteration, or if
    a weight is non-finite, the checkpoint is ``failed-step=N.ckpt``, and the last good one stays.

    Args:
        every: iterations between two saves.
        monitor: the metric that decides which is best, or its first part: ``fid`` stands for
            ``fid/digits`` or ``fid/inception``, whichever is measured. If it is not measured,
            there is no best.
        mode: whether the smallest or the largest value is best.
        minutes: between two saves; None counts iterations only. Whichever is due first decides.
            (Lightning's own time interval saves nothing with manual optimisation; Lightning
            #21699.)

    Raises:
        ValueError: if ``every`` is less than 1, or ``minutes`` is not above 0.
    """

    @checked
    def __init__(
        self,
        every: PositiveInt = 1000,
        monitor: str = "fid",
        mode: Literal["min", "max"] = "min",
        minutes: PositiveFloat | None = None,
    ) -> None:
        self.every, self.minutes, self.monitor, self.mode = every, minutes, monitor, mode
        self.best: float | None = None
        self.written: dict[str, list[str]] = {}  # this run's files of each kind, newest last
        self.training = False  # whether there is something new to save
        self.between = True  # whether no iteration is in progress
        self.agreed = 0  # the signal that all processes know of, as _caught numbers them
        self.saved_at = time.monotonic()
        self.signals: Signals | None = None
        self.held: Path | None = None  # the folder that this callback holds against other processes

    # Files

    def path(self, trainer: Trainer, kind: str) -> Path:
        """The file of a checkpoint of the current iteration."""
        name = f"{kind}-step={trainer.global_step}.ckpt"
        return Path(trainer.default_root_dir) / FOLDER / name

    def save(self, trainer: Trainer, kind: str) -> None:
        """Write a checkpoint into the run's folder, then remove those that it replaces."""
        path = self.path(trainer, kind)
        names = self.written.setdefault(kind, [])
        if path.name not in names:
            names.append(path.name)
        replaced = self._forget(kind)
        temporary = path.with_suffix(".part")
        trainer.save_checkpoint(temporary, weights_only=False)  # everything, to resume from
        self.saved_at = time.monotonic()
        if trainer.is_global_zero:
            temporary.replace(path)
            for name in replaced:
                (path.parent / name).unlink(missing_ok=True)

    def _forget(self, kind: str) -> list[str]:
        """Drop the files of a kind that are not kept from ``written``, and return them."""
        names = self.written[kind]
        self.written[kind] = names[-KEPT[kind] :]
        return names[: -KEPT[kind]]

    # When

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold the folder, and refuse one that holds another run's checkpoints.

        Raises:
            FolderInUse: if so, or if another process trains there.
        """
        folder = Path(trainer.default_root_dir) / FOLDER
        # the command line holds the folder from its first moment to its last
        if trainer.is_global_zero and hold(folder.parent):
            self.held = folder.parent
        if not self.written and checkpoints(folder.parent):
            raise FolderInUse(
                f"{folder} holds the checkpoints of another run; give the Trainer a "
                "default_root_dir of its own, or ckpt_path to resume that run"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to save; signals wait until an iteration ends."""
        self.training, self.between, self.agreed = True, True, 0
        self.saved_at = time.monotonic()
        # Lightning's handlers communicate or save within an iteration
        self.signals = Signals(second=self._interrupt)

    def _interrupt(self) -> None:
        raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # by now, what the previous iteration logged has been written
        self._obey(trainer, self.agreed)
        self.between = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Lightning calls checkpoint callbacks last: the averages have seen the iteration
        self.between = True
        due = self.minutes is not None and time.monotonic() - self.saved_at >= 60 * self.minutes
        # a signal or the clock of one process counts for all
        signal_caught, late = all_reduce_max([self._caught(), float(due)], pl_module.device)
        self.agreed = int(signal_caught)
        if late or trainer.global_step % self.every == 0:
            self.save(trainer, "last")

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop at once, unless several processes validate, each with its own number of batches."""
        if trainer.world_size == 1 and self.training:
            self._obey(trainer, int(self._caught()))

    def _caught(self) -> float:
        """The position of the caught signal in ``URGENCY``, from 1; 0 without one."""
        caught = self.signals.caught if self.signals else None
        return float(URGENCY.index(caught) + 1 if caught in URGENCY else 0)

    def _obey(self, trainer: Trainer, number: int) -> None:
        """Raise the exception of a signal, in all processes at the same place.

        Args:
            trainer: of the run.
            number: as ``_caught`` returns it.

        Raises:
            SIGTERMException: for SIGTERM.
            KeyboardInterrupt: for Ctrl-C.
            Requeued: if the job was put back into the queue.
            RequeueFailed: if it could not be.
        """
        if not number:
            return
        caught = URGENCY[number - 1]
        if caught == signal.SIGTERM:
            raise SIGTERMException
        if caught == signal.SIGINT:
            raise KeyboardInterrupt
        self.save(trainer, "last")
        self.training = False  # nothing is newer than what was just saved
        if trainer.is_global_zero:
            rank_zero_info(f"job {requeue()} is saved, and back in the queue to resume")
        raise Requeued(128 + int(caught))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a new best; after the end of a fit, copy the last checkpoint."""
        if self.training:
            self._obey(trainer, int(all_reduce_max([self._caught()], pl_module.device)[0]))
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
        """Whether a value is better than the best so far; NaN never is."""
        if self.best is None:
            return not math.isnan(value)
        return value < self.best if self.mode == "min" else value > self.best

    def monitored(self, trainer: Trainer) -> float | None:
        """The newest value of the metric; None if it is not measured."""
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
        """Save, unless other processes that still train would wait forever."""
        in_all = isinstance(exception, (SIGTERMException, KeyboardInterrupt, NonFiniteLoss))
        if self.training and (trainer.world_size == 1 or in_all):
            # invalid input is found before any weight is changed
            consistent = self.between or isinstance(exception, InputError)
            good = consistent and all(bool(p.isfinite().all()) for p in pl_module.parameters())
            self.save(trainer, "last" if good else "failed")
        self._leave()
        self._let_go()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self.held is not None:
            release(self.held)
            self.held = None

    def _leave(self) -> None:
        self.training = False
        if self.signals is not None:
            self.signals.restore()
            self.signals = None

    def state_dict(self) -> dict[str, Any]:
        """The best value so far, and the names of this run's files."""
        return {"best": self.best, "written": {kind: list(n) for kind, n in self.written.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint; names that are not those of a run's checkpoints are ignored."""
        self.best = state_dict["best"]
        self.written = {
            kind: [name for name in names if is_checkpoint_name(name)]
            for kind, names in state_dict["written"].items()
            if kind in KEPT
        }
