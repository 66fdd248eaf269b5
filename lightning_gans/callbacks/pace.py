"""Fewer threads compute while other processes need the cores; a resumed run keeps its number."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gans import threads
from lightning_gans.ranges import Threads, fits


class Pace(Callback):
    """Looks at the load of the machine between two iterations and between batches of images.

    The number of threads is in the checkpoint, so that a resumed run goes on with it. It does not
    change if ``trainer.deterministic`` is set, nor where a GPU computes.
    """

    def __init__(self) -> None:
        self.restored: threads.Choice | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the number where it must not change, or where nothing depends on it."""
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if torch.are_deterministic_algorithms_enabled() or not on_cpu:
            threads.fix()
        threads.pace()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the number that the run had."""
        if self.restored is not None:
            threads.keep(self.restored)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        threads.pace()

    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        threads.pace()

    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        threads.pace()

    def on_predict_batch_start(self, *args: Any, **kwargs: Any) -> None:
        threads.pace()

    def state_dict(self) -> dict[str, Any]:
        """The number, and whether it changes with the load."""
        kept = threads.kept()
        if kept is None:
            return {}
        return {"threads": kept.count, "most": kept.most, "adapts": kept.adapts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint, which may be untrusted."""
        count, most, adapts = (state_dict.get(name) for name in ("threads", "most", "adapts"))
        if fits(count, Threads) and fits(most, Threads) and isinstance(adapts, bool):
            self.restored = threads.Choice(cast(int, count), adapts, most=cast(int, most))
