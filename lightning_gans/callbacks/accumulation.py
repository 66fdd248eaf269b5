"""Batches that are larger than memory holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gans.distributed.micro_batches import in_step
from lightning_gans.errors import InputError
from lightning_gans.models.base.model import Batch


class GradientAccumulation(Callback):
    """Sums gradients over equal parts of each batch before a player steps.

    An iteration is as long, and counted, as without; only what the networks hold at a time is less.
    In training, layers that look across rows (batch norm, ``BatchStdLinear``), and algorithms that
    exchange, halve or share out rows (mixed batches, PVDGAN, ``critic_steps``), see a part. v, P(C)
    and the normalisation of P(C) see all rows.

    Args:
        micro_batches: in how many parts a process's batch passes through the networks.

    Raises:
        ValueError: if there would be none.
    """

    def __init__(self, micro_batches: int = 1) -> None:
        if micro_batches < 1:
            raise ValueError(f"expected micro_batches >= 1, got {micro_batches}")
        self.micro_batches = micro_batches
        self.replaced = False
        self.before: Callable[..., Any] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the model's iterations on the parts of a batch, in step."""
        self.replaced = self.micro_batches > 1
        if not self.replaced:
            return
        iteration = pl_module.training_step
        self.before = vars(pl_module).get("training_step")

        def on_parts(batch: Batch, batch_idx: int) -> None:
            in_step(partial(iteration, batch_idx=batch_idx), cut(batch, self.micro_batches))

        pl_module.training_step = on_parts  # type: ignore[method-assign]  # of this fit

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the model as it was."""
        if not self.replaced:
            return
        self.replaced = False
        if self.before is None:
            del pl_module.training_step
        else:
            pl_module.training_step = self.before  # type: ignore[method-assign]

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the model as it was."""
        self.on_fit_end(trainer, pl_module)


def cut(batch: Batch, parts: int) -> list[Batch]:
    """A batch in equal parts.

    Raises:
        InputError: if it has not so many times as many rows.
    """
    x, y = batch
    if len(x) % parts:
        raise InputError(
            f"a batch of {len(x)} cannot be cut into accumulation.micro_batches={parts} equal "
            "parts; choose a data.batch_size that is a multiple"
        )
    return list(zip(x.chunk(parts), y.chunk(parts), strict=True))
