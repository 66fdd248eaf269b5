"""Saves the newest checkpoints of a run, and the best by a metric."""

from __future__ import annotations

import difflib
import inspect
import math
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as stock
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn

from lightning_gans.callbacks.ema import EMA
from lightning_gans.callbacks.evaluation import Evaluation
from lightning_gans.callbacks.signals import REQUEUE, STOP, Signals, StoppedBySignal, in_loader
from lightning_gans.compat import callbacks_of
from lightning_gans.distributed.collectives import all_gather_object, all_reduce_max
from lightning_gans.errors import InputError, UserError
from lightning_gans.models.base.alternating import NonFiniteLoss
from lightning_gans.ranges import PositiveFloat, PositiveInt, checked
from lightning_gans.runs.atomic import Unwritable, remove_leftovers
from lightning_gans.runs.checkpoint_io import CheckpointFiles
from lightning_gans.runs.claim import (
    FolderInUse,
    Training,
    add_to_record,
    hold,
    release,
    write_record,
)
from lightning_gans.runs.folder import FOLDER, checkpoints, is_checkpoint_name, remove
from lightning_gans.runs.metrics_csv import SAMPLES
from lightning_gans.runs.scheduler import requeue

# how many files of each kind are kept
KEPT = {"last": 2, "best": 1, "failed": 1}
# signals, the most urgent last
URGENCY = (*REQUEUE, *STOP)


class Requeued(SystemExit):
    """The run is saved, and its job is back in SLURM's queue to resume it."""


class Checkpoint(stock.Checkpoint):
    """Saves ``last-step=N.ckpt`` regularly and at every exit, ``best-step=N.ckpt`` on a new best.

    N counts iterations. A file is written under a temporary name and renamed when it is complete.
    The newest two are kept, so that a run can resume even if the newest is damaged; older ones that
    this run wrote are removed, each with the OOD scores that were stored beside it. No other file
    is ever removed.

    If a file cannot be written, for example because the disk is full, a warning names it, those
    before it stay, and training goes on until the next save; the run fails only if its last state
    cannot be saved.

    A checkpoint is always between two iterations. Ctrl-C, SIGTERM and SIGHUP stop training after
    the current iteration (a second Ctrl-C at once), which is the same one in all processes; data
    that do not arrive for some seconds are not waited for. Under SLURM, SIGUSR1 stops it likewise
    and requeues the job. After an error within an iteration, or if a weight is non-finite, the
    checkpoint is ``failed-step=N.ckpt``, and the last good one stays.

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
        self.replaced: list[str] = []  # best ones that a newer one has replaced
        self.training = False  # whether there is something new to save
        self.between = True  # whether no iteration is in progress
        self.due = False  # whether to save once the log has the iteration
        self.writing = False  # whether a file is being written
        self.error: Unwritable | None = None  # why the newest file could not be written
        self.agreed = 0  # the signal that all processes know of, as _caught numbers them
        self.saved_at = time.monotonic()
        self.signals: Signals | None = None
        self.held: Path | None = None  # the folder that this callback holds against other processes

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let checkpoints be written beside their final names."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = CheckpointFiles()

    # Files

    def path(self, trainer: Trainer, kind: str) -> Path:
        """The file of a checkpoint of the current iteration."""
        name = f"{kind}-step={trainer.global_step}.ckpt"
        return Path(trainer.default_root_dir) / FOLDER / name

    def save(self, trainer: Trainer, kind: str) -> bool:
        """Write a checkpoint into the run's folder, then remove those that it replaces.

        Returns:
            Whether it was written; if not, a warning has told why, and nothing is removed.
        """
        path, before = self.path(trainer, kind), self.written
        replaced = self._note(path.name, kind)
        self.writing, self.error = True, None
        try:
            self._write(trainer, path)
        # also an interrupt
        except BaseException:
            self.written = before
            raise
        finally:
            self.writing, self.saved_at = False, time.monotonic()
        # the file is written by one process
        if all_reduce_max([float(self.error is not None)], trainer.strategy.root_device)[0]:
            self.error = self.error or Unwritable(path, OSError("see the first process's message"))
            self.written = before
            kept = before.get("last")
            before_it = f"{kept[-1]} is kept" if kept else "no checkpoint was saved before it"
            rank_zero_warn(f"{self.error}; {before_it}")
            return False
        if kind == "best":
            # until a last one knows of the new best, the old one is that of the run
            self.replaced += replaced
            return True
        for name in [*replaced, *self.replaced] if trainer.is_global_zero else ():
            remove(path.parent / name)
        self.replaced = []
        return True

    def _write(self, trainer: Trainer, path: Path) -> None:
        """Write everything that is needed to resume; an error of the disk is kept in ``error``."""
        with ExitStack() as stack:
            for callback in callbacks_of(trainer):
                if isinstance(callback, EMA):
                    stack.enter_context(callback.own_weights(trainer.lightning_module))
            try:
                trainer.save_checkpoint(path, weights_only=False)
            except Unwritable as error:
                self.error = error
                # where the other processes wait for this one
                trainer.strategy.barrier("Trainer.save_checkpoint")

    def _note(self, name: str, kind: str) -> list[str]:
        """Note a new file, and return the names of those of its kind that it replaces."""
        names = [*(n for n in self.written.get(kind, []) if n != name), name]
        self.written = {**self.written, kind: names[-KEPT[kind] :]}
        return names[: -KEPT[kind]]

    # When

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hold the folder, and refuse one that holds another run's checkpoints.

        Raises:
            FolderInUse: if so, or if another process trains there.
        """
        run = Path(trainer.default_root_dir)
        # the command line holds the folder from its first moment to its last
        if trainer.is_global_zero and hold(run):
            self.held = run
        here = all_gather_object({path.name for path in checkpoints(run)})[0]
        if not self.written and here:
            raise FolderInUse(
                f"{run / FOLDER} holds the checkpoints of another run; give the Trainer a "
                "default_root_dir of its own, or ckpt_path to resume that run"
            )
        if self.held is not None:
            write_record(run, Training())
        # those of a run that resumes in another folder are not its own
        self.written = {k: [n for n in names if n in here] for k, names in self.written.items()}
        if not self.written.get("best"):
            self.best = None
        if trainer.is_global_zero:
            remove_leftovers(run)
            device = trainer.strategy.root_device
            if device.type == "cuda":
                # not when the record is written: processes may be forked after that, and CUDA
                # does not survive it
                several = f"{trainer.world_size} x " if trainer.world_size > 1 else ""
                add_to_record(run, GPU=several + torch.cuda.get_device_name(device))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on there is something to save; signals wait until an iteration ends."""
        self.training, self.between, self.due, self.agreed = True, True, False, 0
        self.saved_at = time.monotonic()

        def waits(frame: FrameType | None) -> bool:
            if not self.training or not self.between or self.writing:
                return False
            # an evaluation that is cut short is made again
            measuring = trainer.validating and trainer.world_size == 1 and not measured(trainer)
            return measuring or in_loader(frame)

        # Lightning's handlers communicate or save within an iteration
        self.signals = Signals(second=self._interrupt, waits=waits)

    def _interrupt(self) -> None:
        if not self.writing:
            raise KeyboardInterrupt

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # by now, what the previous iteration logged has been written
        self._save_due(trainer)
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
        # Lightning writes the row of this iteration only after this call
        self.due = bool(late) or trainer.global_step % self.every == 0

    def _save_due(self, trainer: Trainer) -> None:
        if self.due:
            self.save(trainer, "last")
        self.due = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save before an evaluation, which may take long or fail."""
        if self.training:
            self._save_due(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop at once, unless several processes validate, each with its own number of batches."""
        if trainer.world_size == 1 and self.training:
            self._obey(trainer, int(self._caught()))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_due(trainer)

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
            StoppedBySignal: for a request to stop.
            Requeued: if the job was put back into the queue.
            RequeueFailed: if it could not be.
        """
        if not number:
            return
        caught = URGENCY[number - 1]
        if caught in STOP:
            raise StoppedBySignal(caught)
        self.save(trainer, "last")
        self.training = False  # nothing is newer than what was just saved
        if trainer.is_global_zero:
            job = requeue(Path(trainer.default_root_dir))
            rank_zero_info(f"job {job} is saved, and back in the queue to resume")
        raise Requeued(128 + int(caught))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a new best; an evaluation after the end of training is added to what was saved."""
        if trainer.sanity_checking:
            self._check_monitor(trainer)
            return
        value, before = self.monitored(trainer), self.best
        record = value is not None and self.is_record(value)
        if record:
            self.best = value
        if trainer.state.fn != TrainerFn.FITTING:
            self._amend(trainer, record)
        elif record and not self.save(trainer, "best"):
            self.best = before
        if self.training:
            self._obey(trainer, int(all_reduce_max([self._caught()], pl_module.device)[0]))

    def _amend(self, trainer: Trainer, record: bool) -> None:
        """Add the final evaluation to the last checkpoint, and copy that if it is the best.

        Raises:
            Unwritable: if the operating system does not let a file be written.
        """
        last, best = self.path(trainer, "last"), self.path(trainer, "best")
        if last.name not in self.written.get("last", []):
            return  # only a checkpoint is validated, no run ends
        replaced = self._note(best.name, "best") if record else []
        if not trainer.is_global_zero or not last.is_file():
            return
        content = torch.load(last, map_location="cpu", weights_only=True)
        for callback in callbacks_of(trainer):
            if isinstance(callback, (Checkpoint, Evaluation)):
                content["callbacks"][callback.state_key] = callback.state_dict()
        for path in (best, last) if record else (last,):
            trainer.strategy.checkpoint_io.save_checkpoint(content, path)
        for name in [*replaced, *self.replaced]:
            remove(best.parent / name)
        self.replaced = []

    def is_record(self, value: float) -> bool:
        """Whether a value is better than the best so far; NaN never is."""
        if self.best is None:
            return not math.isnan(value)
        return value < self.best if self.mode == "min" else value > self.best

    def _check_monitor(self, trainer: Trainer) -> None:
        """Refuse a metric that the first evaluation, before the first iteration, has not measured.

        The default is not refused, because which metrics there are depends on the model.

        Raises:
            UserError: with those that were measured.
        """
        measured = sorted({*trainer.callback_metrics} - {"step", SAMPLES})
        default = inspect.signature(Checkpoint).parameters["monitor"].default
        if self.monitor == default or self.monitored(trainer) is not None:
            return
        if not measured:  # a model's config may name what is measured for images only
            rank_zero_warn(
                f"checkpoint.monitor={self.monitor} is not measured for this model and data: no "
                "checkpoint is kept as the best"
            )
            return
        close = difflib.get_close_matches(self.monitor, [*measured, default], n=1)
        raise UserError(
            f"checkpoint.monitor={self.monitor} is not measured"
            + (f" (did you mean '{close[0]}'?)" if close else "")
            + f"; for this model and data there are {', '.join(measured)}"
        )

    def monitored(self, trainer: Trainer) -> float | None:
        """The newest value of the metric; None if it is not measured."""
        for name, value in trainer.callback_metrics.items():
            if name == self.monitor or name.startswith(f"{self.monitor}/"):
                return float(value)
        return None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last state; then obey a signal that came within the last iteration.

        Raises:
            Unwritable: if it cannot be saved.
        """
        number = int(all_reduce_max([self._caught()], pl_module.device)[0])
        self._leave()
        if not self.save(trainer, "last"):
            assert self.error is not None
            raise self.error
        if number and URGENCY[number - 1] in STOP:
            raise StoppedBySignal(URGENCY[number - 1])

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save, unless other processes that still train would wait forever."""
        in_all = isinstance(
            exception, (StoppedBySignal, KeyboardInterrupt, NonFiniteLoss)
        ) and not (isinstance(exception, StoppedBySignal) and exception.waiting)
        if self.training and (trainer.world_size == 1 or in_all):
            # invalid input is found before any weight is changed
            consistent = self.between or isinstance(exception, InputError)
            good = consistent and all(bool(p.isfinite().all()) for p in pl_module.parameters())
            saved = self.save(trainer, "last" if good else "failed")
            self._leave()
            self._let_go()
            if not saved and isinstance(exception, (StoppedBySignal, KeyboardInterrupt)):
                assert self.error is not None
                raise self.error
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


def measured(trainer: Trainer) -> bool:
    """Whether the evaluation of the current iteration is complete."""
    return any(
        isinstance(callback, Evaluation) and callback.measured_at == trainer.global_step
        for callback in callbacks_of(trainer)
    )
