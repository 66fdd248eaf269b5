"""Checkpoints of a run: the newest, and the best by a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch import callbacks as stock
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

FOLDER = "checkpoints"


class Checkpoint(stock.Checkpoint):
    """Saves ``last-step=N.ckpt`` regularly and on every way out, ``best-step=N.ckpt`` on a record.

    N counts iterations. A file is written under a temporary name and renamed when it is whole, and
    the one before it is removed only then. Nothing is lost when training is stopped: an interrupt,
    SIGTERM or an error leaves a checkpoint of the state it met.

    Args:
        every: iterations between two saves.
        monitor: the metric of which a lower value is better, or its first part: ``fid`` stands for
            ``fid/digits`` or ``fid/inception``, whichever is measured.

    Raises:
        ValueError: if ``every`` is less than 1.
    """

    def __init__(self, every: int = 1000, monitor: str = "fid") -> None:
        if every < 1:
            raise ValueError(f"expected every >= 1 iterations between checkpoints, got {every}")
        self.every, self.monitor = every, monitor
        self.best: float | None = None

    def save(self, trainer: Trainer, kind: str) -> None:
        """Write ``<kind>-step=<iterations>.ckpt`` into the run's folder, in place of the last."""
        folder = Path(trainer.default_root_dir) / FOLDER
        path = folder / f"{kind}-step={trainer.global_step}.ckpt"
        temporary = path.with_suffix(".part")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(path)
            for older in folder.glob(f"{kind}-step=*.ckpt"):
                if older != path:
                    older.unlink()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self.save(trainer, "last")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best so far."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        value = self.monitored(trainer)
        if value is not None and (self.best is None or value < self.best):
            self.best = value
            self.save(trainer, "best")

    def monitored(self, trainer: Trainer) -> float | None:
        """The metric's newest value, if it is measured."""
        for name, value in trainer.callback_metrics.items():
            if name == self.monitor or name.startswith(f"{self.monitor}/"):
                return float(value)
        return None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "last")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Save what there is, unless other processes, still training, would wait for ever."""
        everywhere = isinstance(exception, (SIGTERMException, KeyboardInterrupt))
        fitting = trainer.state.fn == TrainerFn.FITTING and trainer.global_step > 0
        if fitting and (trainer.world_size == 1 or everywhere):
            self.save(trainer, "last")

    def state_dict(self) -> dict[str, Any]:
        """The best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's best value."""
        self.best = state_dict["best"]


def newest(run: Path) -> Path | None:
    """The checkpoint in a run's folder with the most iterations, if there is one."""
    found = sorted((run / FOLDER).glob("last-step=*.ckpt"), key=step_of)
    return found[-1] if found else None


def step_of(path: Path) -> int:
    """The iterations a checkpoint's name tells."""
    return int(path.stem.rpartition("=")[2])
