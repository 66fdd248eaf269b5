"""Averaged weights, which are used for evaluation, sampling and loading."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_gans.compat import BatchNorm
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
        self.swapped = False
        self.loaded = False

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

    @torch.no_grad()
    def update(self, model: torch.nn.Module, iteration: int) -> None:
        """Move the average towards the model's weights."""
        weight = 1 - self.decay_at(iteration)
        for name, value in averaged_weights(model).items():
            self.average[name].lerp_(value, weight)

    @torch.no_grad()
    def swap(self, model: torch.nn.Module) -> None:
        """Exchange the model's weights and their averages; a second call undoes it."""
        if not self.average:
            return
        for name, value in averaged_weights(model).items():
            own = value.detach().clone()
            value.copy_(self.average[name])
            self.average[name].copy_(own)
        self.swapped = not self.swapped

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

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average when it is due."""
        if trainer.global_step % self.every == 0:
            self.update(pl_module, trainer.global_step)

    # Outside training

    def _enter(self, model: LightningModule) -> None:
        if not self.swapped:
            self.swap(model)

    def _leave(self, model: LightningModule) -> None:
        if self.swapped:
            self.swap(model)

    def _place(self, model: LightningModule) -> None:
        """Bring a checkpoint's average to the model's device, and use it."""
        self.average = {name: value.to(model.device) for name, value in self.average.items()}
        self._enter(model)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave(pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave(pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._place(pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._leave(pl_module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the weights, so that a checkpoint saved on the way out has both as usual."""
        self._leave(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The average, by the names of the parameters."""
        return {"average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load an average from a checkpoint."""
        self.average = dict(state_dict["average"])
        self.loaded = True


def averaged_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """What is averaged: parameters, and batch norm's running means and variances, by name."""
    found: dict[str, Tensor] = dict(model.named_parameters())
    for prefix, module in model.named_modules():
        if isinstance(module, BatchNorm):
            for name in ("running_mean", "running_var"):
                value = getattr(module, name)
                if value is not None:
                    found[f"{prefix}.{name}"] = value
    return found
