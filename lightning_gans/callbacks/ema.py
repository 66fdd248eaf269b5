"""Averaged weights, which are used for evaluation, sampling and loading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_gans.compat import BatchNorm, foreach_lerp, plain_name
from lightning_gans.ranges import Decay, PositiveInt, Range, checked
from lightning_gans.runs.checkpoints import AVERAGES


class EMA(Callback):
    """Exponential moving average of all parameters, which replaces them outside of training.

    During every validation, test and prediction the model has its averaged weights; in training it
    has its own. Batch norm's running statistics belong to the weights and are averaged with them.
    No other buffer is averaged: DLSGAN's v, for one, already is an average. Iterations are counted,
    not optimiser steps.

    Args:
        decay: of the average, for each iteration, in [0, 1).
        every: iterations between updates; an update then decays by decay**every.
        warmup: the longest span of the average, as a share of the iterations so far, in (0, 1], so
            that the initial weights are soon forgotten. None sets no limit, as the published code
            does.

    Raises:
        ValueError: if an argument is out of its range.
    """

    @checked
    def __init__(
        self,
        decay: Decay = 0.999,
        every: PositiveInt = 1,
        warmup: Annotated[float, Range(0, 1, (0,))] | None = 0.1,
    ) -> None:
        self.decay, self.every, self.warmup = decay, every, warmup
        self.average: dict[str, Tensor] = {}
        self.own: dict[str, Tensor] = {}  # the model's weights, while it has the averaged ones
        self.loaded = False
        self.followed: dict[str, Tensor] = {}  # the model's weights in training

    @property
    def state_key(self) -> str:
        """The checkpoint's key of the averages; the same in a subclass."""
        return AVERAGES

    def decay_at(self, iteration: int) -> float:
        """The decay of the update after ``iteration`` iterations."""
        decay = self.decay
        if self.warmup is not None:
            decay = min(decay, 1 - 1 / max(1.0, self.warmup * iteration))
        return decay**self.every

    def update(self, model: torch.nn.Module, iteration: int) -> None:
        """Move the average towards the model's weights."""
        self._follow(averaged_weights(model), iteration)

    @torch.no_grad()
    def _follow(self, weights: dict[str, Tensor], iteration: int) -> None:
        averages = [self.average[name] for name in weights]
        foreach_lerp(averages, [*weights.values()], 1 - self.decay_at(iteration))

    @torch.no_grad()
    def apply(self, model: torch.nn.Module) -> None:
        """Give the model its averaged weights, until ``restore``."""
        if self.own or not self.average:
            return
        weights = averaged_weights(model)
        # all are kept before the first one changes: an interrupt at any point loses none
        self.own = {name: value.detach().clone() for name, value in weights.items()}
        for name, value in weights.items():
            value.copy_(self.average[name])

    @torch.no_grad()
    def restore(self, model: torch.nn.Module) -> None:
        """Give the model its own weights back."""
        if self.own:
            for name, value in averaged_weights(model).items():
                value.copy_(self.own[name])
            self.own = {}

    @contextmanager
    def own_weights(self, model: torch.nn.Module) -> Iterator[None]:
        """The block sees the model with its own weights."""
        applied = bool(self.own)
        self.restore(model)
        try:
            yield
        finally:
            if applied:
                self.apply(model)

    @contextmanager
    def averaged(self, model: LightningModule) -> Iterator[None]:
        """The block sees the model with the averaged weights."""
        self._place(model)
        try:
            yield
        finally:
            self.restore(model)

    # In training

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the current weights, or resume from a checkpoint's average."""
        parameters = averaged_weights(pl_module)
        resumed = self.loaded or trainer.global_step > 0
        self.loaded = False
        source = self.average if resumed and self.average else parameters
        self.average = {
            name: source[name].detach().clone().to(parameter)
            for name, parameter in parameters.items()
        }
        # a walk through the model takes longer than the update of a small one
        self.followed = parameters

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average when it is due."""
        if trainer.global_step % self.every == 0:
            self._follow(self.followed, trainer.global_step)

    # Outside training

    def _place(self, model: LightningModule) -> None:
        """Bring a checkpoint's average to the model's device, and use it."""
        self.average = {name: value.to(model.device) for name, value in self.average.items()}
        self.apply(model)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.restore(pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the weights, so that a checkpoint saved on the way out has both as usual."""
        self.restore(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average, by the names of the parameters."""
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load an average from a checkpoint."""
        self.average = {plain_name(name): value for name, value in state_dict["average"].items()}
        self.loaded = True


def averaged_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """What is averaged: parameters, and batch norm's running means and variances, by name."""
    found: dict[str, Tensor] = {
        plain_name(name): parameter for name, parameter in model.named_parameters()
    }
    for prefix, module in model.named_modules():
        if isinstance(module, BatchNorm):
            for name in ("running_mean", "running_var"):
                value = getattr(module, name)
                if value is not None:
                    found[plain_name(f"{prefix}.{name}")] = value
    return found
