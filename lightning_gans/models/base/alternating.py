"""Turns: players that each have an optimiser and move their own parameters only."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor
from torch.optim import Optimizer

from lightning_gans.distributed import micro_batches
from lightning_gans.distributed.collectives import any_rank
from lightning_gans.errors import UserError


class NonFiniteLoss(UserError, FloatingPointError):
    """A term of a loss was NaN or infinite; training stops before it reaches the weights."""


class Minimize(Protocol):
    """Ends a turn: descends the sum of its terms, each logged as ``player/name``."""

    def __call__(self, **terms: Tensor) -> None:
        """Make one step of the acting player's optimiser on the sum of the scalar terms."""
        ...


class AlternatingTurns(LightningModule, ABC):
    """Players that take turns within one ``training_step``, which is one iteration.

    It ends with one step of the last player, and that step is what ``trainer.global_step`` counts;
    so ``max_steps``, logs and checkpoints all count iterations, though several optimiser steps may
    be made. What depends on the iterations made, or differentiates, stands before or in a turn:
    after the last one, and between turns, another part of the batch may be further on.

    Args:
        optimizers: for each player, what makes its optimiser from parameters.

    Attributes:
        players: their names, in order; the last ends an iteration.
    """

    players: ClassVar[tuple[str, ...]]

    def __init__(self, *optimizers: OptimizerCallable) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._optimizers = optimizers
        self._rates: list[list[dict[str, Any]]] = []

    @contextmanager
    def turn(self, player: str) -> Iterator[Minimize]:
        """One player's move: only its parameters require gradients, and ``minimize`` moves them.

        Raises:
            NonFiniteLoss: from ``minimize``, naming the term and the iteration.
        """
        optimizer, part = self._acting(player), micro_batches.current()
        iteration = self.global_step + 1

        def minimize(**terms: Tensor) -> None:
            self._check_finite(player, terms)
            shares = torch.stack(list(terms.values())) / part.count
            if part.first:
                optimizer.zero_grad()
            self.manual_backward(shares.sum())
            given = part.gather(shares.detach())
            if not part.last:
                return
            optimizer.step()
            every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set later
            if every and iteration % every == 0:
                # not more often: each call of log costs half a millisecond
                values = torch.stack(given).sum(0)
                named = zip(terms.items(), values, strict=True)
                # a penalty that is not due, or of no weight, has no gradient
                self.log_dict({f"{player}/{n}": v for (n, t), v in named if t.requires_grad})
                self.log(player, values.sum(), logger=False, prog_bar=True)
                # by this name Lightning knows the axis, which it would else count from 0
                self.log("step", float(iteration))

        if part.first:
            self.toggle_optimizer(optimizer)
        try:
            yield minimize
            if part.last:
                self.untoggle_optimizer(optimizer)
            part.wait()  # the next player's turn begins when all parts have had this one
        except BaseException:  # also where another part raised while this one waits
            self.untoggle_optimizer(optimizer)
            raise

    def _acting(self, player: str) -> LightningOptimizer:
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        for optimizer in optimizers[:-1]:
            assert isinstance(optimizer, LightningOptimizer)
            # Lightning counts every optimiser step as a step of training; only the last player's
            # shall count. It sets these two hooks anew before each training_step.
            optimizer._on_before_step = do_nothing_closure
            optimizer._on_after_step = do_nothing_closure
        acting = optimizers[self.players.index(player)]
        assert isinstance(acting, LightningOptimizer)
        return acting

    def _check_finite(self, player: str, terms: dict[str, Tensor]) -> None:
        finite = bool(torch.stack(list(terms.values())).detach().isfinite().all())
        if not any_rank(not finite, self.device):
            return  # all processes stop at the same place, or none does
        wrong = [f"'{player}/{n}' became {t.item()}" for n, t in terms.items() if not t.isfinite()]
        what = wrong[0] if wrong else f"of {player} is not finite in another process"
        raise NonFiniteLoss(
            f"the term {what} in iteration {self.global_step + 1}; "
            "training stops before the weights are touched. A lower learning rate or a stronger "
            "gradient penalty usually helps"
        )

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """A player's parameters, as groups for its optimiser: by default all that are trained.

        In the order of ``named_parameters``: an optimiser's state is saved by position.
        """
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def configure_optimizers(self) -> list[Optimizer]:
        """The players' optimisers, in order."""
        made = [
            make(self.parameter_groups(player))
            for player, make in zip(self.players, self._optimizers, strict=True)
        ]
        self._rates = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in made
        ]
        return made

    def on_train_start(self) -> None:
        """Let the config's rates hold: a checkpoint brings back those it was saved with."""
        self._set_rates()

    def on_train_epoch_start(self) -> None:
        """Decay the rates of optimisers that have an ``epoch_decay``."""
        self._set_rates()

    def _set_rates(self) -> None:
        # a function of the iterations made, so that nothing of a schedule has to be saved; not of
        # current_epoch, which after a resume counts an epoch that was cut off as made
        epoch = self.global_step // max(1, self.trainer.num_training_batches)
        for optimizer, groups in zip(self.trainer.optimizers, self._rates, strict=True):
            for group, given in zip(optimizer.param_groups, groups, strict=True):
                group.update(given)
                group["lr"] = given["lr"] * given.get("epoch_decay", 1.0) ** epoch
