"""Training with a generator that torch.compile has compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import nn

from lightning_gans.errors import UserError, reason
from lightning_gans.models import Generates, Model
from lightning_gans.rng import stream


class Compile(Callback):
    """Compiles the generator for training, with ``compile.generator=true``.

    The generator alone: torch cannot differentiate a compiled network twice, which gradient
    penalties of the discriminator need. Evaluations and checkpoints have the network as it was, so
    a run can be resumed with or without it. Images differ from those of the plain network by
    rounding, less than 1e-4.

    If the network cannot be compiled, for example because there is no C++ compiler, a warning says
    so and training goes on without.

    Args:
        generator: whether to compile it.

    Raises:
        UserError: from the start of training, if the model has no generator to train.
    """

    def __init__(self, generator: bool = False) -> None:
        self.generator = generator
        self.plain: nn.Module | None = None
        self.compiled: nn.Module | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compile the generator, and try it with a batch of its size."""
        if not self.generator:
            return
        if not isinstance(pl_module, Model) or not isinstance(pl_module, Generates):
            raise UserError(
                f"compile.generator=true: {type(pl_module).__name__} trains no generator; leave it "
                "out"
            )
        plain = pl_module.generator
        rows = getattr(getattr(trainer, "datamodule", None), "batch_size", 2)
        try:
            pl_module.generator = cast(nn.Module, torch.compile(plain))
            pl_module.generate(rows, stream("compile", device=pl_module.device))
        # a compiler raises anything
        except Exception as error:
            pl_module.generator = plain
            text = reason(error).splitlines()[0]
            rank_zero_warn(f"the generator is not compiled: {text:.200}; training goes on without")
            return
        self.plain, self.compiled = plain, pl_module.generator

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the plain network: batches of other sizes would be compiled anew."""
        if self.plain is not None:
            pl_module.generator = self.plain

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train with the compiled one again."""
        if self.compiled is not None:
            pl_module.generator = self.compiled

    @contextmanager
    def plainly(self, model: LightningModule) -> Iterator[None]:
        """The block sees the model with the plain network."""
        if self.plain is not None:
            model.generator = self.plain
        try:
            yield
        finally:
            if self.compiled is not None:
                model.generator = self.compiled

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the plain network."""
        self._restore(pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Leave the plain network."""
        self._restore(pl_module)

    def _restore(self, model: LightningModule) -> None:
        if self.plain is not None:
            model.generator = self.plain
            self.plain = self.compiled = None
