"""Saves what ``train.py predict`` computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_info
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lightning_gans.runs.atomic import Unwritable, replacing


class Predictions(Callback):
    """Writes what ``predict_step`` returns, in order, to ``predictions.safetensors`` in the run.

    The tensors are those that :meth:`Model.predict_step` names. Of N processes, process r writes
    those of the images r, r + N, r + 2N, ...; all but the first append ``-<rank>`` to the file's
    name.
    """

    def __init__(self) -> None:
        self.parts: dict[str, list[Tensor]] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the predictions before."""
        self.parts = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's results on the CPU."""
        for name, value in outputs.items():
            self.parts.setdefault(name, []).append(value.cpu())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file.

        Raises:
            Unwritable: if the operating system does not let it be written.
        """
        rank = f"-{trainer.global_rank}" if trainer.global_rank else ""
        path = Path(trainer.default_root_dir) / f"predictions{rank}.safetensors"
        whole = {name: torch.cat(values) for name, values in self.parts.items()}
        with replacing(path) as temporary:
            try:
                save_file(whole, temporary)
            except SafetensorError as error:
                raise Unwritable(path, error) from error
        rank_zero_info(f"predictions: {path}")
