"""Players that take turns, each with its own optimiser and its own parameters."""

from __future__ import annotations

import functools
import inspect
import math
import operator
from abc import ABC
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any, ClassVar, Protocol

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from lightning_gans.compat import (
    RUNNING_HOOK,
    ask_for_gpus_once,
    callbacks_of,
    continue_after,
    log_again,
    log_interval,
    read_log_no_more,
    step_without_hooks,
    uncounted,
)
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.errors import UserError
from lightning_gans.freed_memory import keep_freed_memory


class NonFiniteLoss(UserError, FloatingPointError):
    """A term of a loss was NaN or infinite; training stops before it reaches the weights."""


class Minimize(Protocol):
    """Makes one step of the acting player's optimiser; it ends the turn."""

    def __call__(self, **terms: Tensor) -> None:
        """Minimise the sum of scalar terms, each of which is logged as ``player/name``."""
        ...


def fetch(number: Tensor) -> Callable[[], float]:
    """Start to copy a number from the GPU; the result, once called, returns its value.

    The call waits only for the work that was submitted to the GPU before the copy.
    """
    if number.device.type != "cuda":
        return lambda: float(number)
    value, copied = number.to("cpu", non_blocking=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> float:
        copied.synchronize()
        return float(value)

    return wait


def parameters_of(optimizer: Optimizer | LightningOptimizer) -> list[Tensor]:
    """The parameters that an optimiser steps, in the order of its groups."""
    return [p for group in optimizer.param_groups for p in group["params"]]


class NoProfile(PassThroughProfiler):
    """As Lightning's, which makes a context for each of thirty calls in an iteration."""

    @override
    def profile(self, action_name: str) -> Any:
        return _NOTHING


_NOTHING = nullcontext()


class AlternatingTurns(LightningModule, ABC):
    """Players that take turns within one ``training_step``, which is one iteration.

    An iteration ends with one step of the last player. ``trainer.global_step`` counts these steps
    alone, so ``max_steps``, logs and checkpoints count iterations, however many steps the other
    players make.

    Args:
        optimizers: for each player, a function that makes its optimiser from parameters.

    Attributes:
        players: their names, in order; a step of the last ends an iteration.
        image_shape: of one example, (channels, height, width), or (2,) for points; () if a model
            does not say.
    """

    players: ClassVar[tuple[str, ...]]
    image_shape: tuple[int, ...] = ()

    def __init__(self, *optimizers: OptimizerCallable) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._optimizers = optimizers
        self._rates: list[list[dict[str, Any]]] = []
        # whether a backward pass, and a step, call anything of a callback, model or strategy
        self._hooked = self._steps_hooked = True
        self._read_again = False  # whether Lightning reads what was logged after each iteration

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = vars(cls).get("training_step")
        if isinstance(step, FunctionType):
            # Lightning asks for it in each iteration, and Python would derive it anew
            step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes each hook that it calls, forty times an iteration: torch would look each
        # time whether it is a parameter, a buffer or a module
        if name == RUNNING_HOOK:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @contextmanager
    def turn(self, player: str) -> Iterator[Minimize]:
        """One player's turn: only its parameters require gradients, and ``minimize`` steps them.

        Raises:
            NonFiniteLoss: from ``minimize``, naming the term and the iteration.
        """
        optimizer = self._acting(player)
        iteration = self.global_step + 1
        own, others = self._divided(optimizer)

        def minimize(**terms: Tensor) -> None:
            loss = functools.reduce(operator.add, terms.values())
            value = fetch(loss.detach())  # it is finite if all terms are
            for p in own:  # as zero_grad, in a fifth of the time
                p.grad = None
            self.differentiate(loss, own)
            # the value is read only here, so that a GPU computes the gradients meanwhile
            total = value()
            if not self._shared(own, math.isfinite(total)):
                raise self._non_finite(player, terms, total)
            self._step(optimizer)
            self._log_terms(player, terms, loss, iteration)

        for p in others:  # as requires_grad_, in half the time
            p.requires_grad = False
        try:
            yield minimize
        finally:
            for p in others:
                p.requires_grad = True

    def differentiate(self, loss: Tensor, parameters: list[Tensor]) -> None:
        """As ``manual_backward``, which looks in every callback for hooks that few have.

        For these parameters alone: images that a penalty has set to require gradients get none,
        which would be computed through the first convolution. Points get some, which takes less
        time than to look for what need not be computed.
        """
        needed = None if len(self.image_shape) == 1 else [p for p in parameters if p.requires_grad]
        if self._hooked:
            self.manual_backward(loss, inputs=needed)
        else:
            # no precision that is supported scales a loss
            torch.autograd.backward(loss, inputs=needed)

    def _shared(self, parameters: list[Tensor], finite: bool) -> bool:
        """Average the gradients over the processes; whether the losses of all are finite."""
        strategy = self.trainer.strategy
        # a single process has another strategy
        return (
            strategy.average_gradients(parameters, finite)
            if isinstance(strategy, GANDDP)
            else finite
        )

    def _step(self, optimizer: LightningOptimizer) -> None:
        """As ``optimizer.step``, which asks every callback for a hook that few have."""
        if self._steps_hooked:
            optimizer.step()
        else:
            step_without_hooks(optimizer)

    def _divided(self, acting: LightningOptimizer) -> tuple[list[Tensor], list[Tensor]]:
        """The parameters of one player, and those of all others that require gradients."""
        # as Lightning's toggled_optimizer, in a tenth of the time
        own = parameters_of(acting)
        kept = set(map(id, own))
        others = [
            p
            for optimizer in self.trainer.optimizers
            if optimizer is not acting.optimizer
            for p in parameters_of(optimizer)
            if p.requires_grad and id(p) not in kept
        ]
        return own, others

    def _log_terms(
        self, player: str, terms: dict[str, Tensor], loss: Tensor, iteration: int
    ) -> None:
        every = log_interval(self.trainer)
        # not more often: each call of log takes half a millisecond
        if not every or iteration % every:
            if self._read_again:
                read_log_no_more(self.trainer)
                self._read_again = False
            return
        self._read_again = True
        # a penalty that is not due, or has weight 0, has no gradient
        due = {name: term for name, term in terms.items() if term.requires_grad}
        # Lightning takes the axis from this name; otherwise it would count from 0
        self.log("step", float(iteration))
        values = {f"{player}/{name}": term.detach() for name, term in due.items()}
        self.log_dict(log_again(self, values))
        # on the CPU: Lightning reads it again in all iterations until the next log, and a GPU would
        # have to finish its work each time
        total = log_again(self, {player: loss.detach().cpu()})
        self.log_dict(total, logger=False, prog_bar=True)

    def _acting(self, player: str) -> LightningOptimizer:
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        for optimizer in optimizers[:-1]:
            assert isinstance(optimizer, LightningOptimizer)
            # Lightning counts every optimiser step as a training step; only the last player's
            # should count
            uncounted(optimizer)
        acting = optimizers[self.players.index(player)]
        assert isinstance(acting, LightningOptimizer)
        return acting

    def _non_finite(self, player: str, terms: dict[str, Tensor], loss: float) -> NonFiniteLoss:
        """The error that all processes raise, or none does."""
        wrong = [f"'{player}/{n}' became {t.item()}" for n, t in terms.items() if not t.isfinite()]
        if not wrong and not math.isfinite(loss):
            wrong = [f"'{player}', the sum of {', '.join(terms)}, became {loss}"]
        what = wrong[0] if wrong else f"of {player} is not finite in another process"
        return NonFiniteLoss(
            f"the term {what} in iteration {self.global_step + 1}; "
            "training stops before it changes the weights. A lower learning rate or a stronger "
            "gradient penalty usually helps"
        )

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """A player's parameters, as groups for its optimiser: by default all that are trained.

        In the order of ``named_parameters``: an optimiser's state is saved by position.
        """
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def configure_optimizers(self) -> list[Optimizer]:
        """The players' optimisers, in order.

        Raises:
            UserError: if an optimiser refuses its arguments.
        """
        made = []
        for player, make in zip(self.players, self._optimizers, strict=True):
            try:
                made.append(make(self.parameter_groups(player)))
            except (TypeError, ValueError) as error:
                raise UserError(f"the optimizer of the {player}: {error}") from error
        self._rates = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in made
        ]
        return made

    def on_train_start(self) -> None:
        """Continue with the next iteration, at the config's rates.

        A checkpoint brings back the rates that it was saved with.
        """
        ask_for_gpus_once()
        keep_freed_memory()
        if type(self.trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]  # set later
            self.trainer.profiler = NoProfile()  # type: ignore[attr-defined]  # as above
        callbacks = callbacks_of(self.trainer)

        def is_used(hook: str) -> bool:
            return is_overridden(hook, self, LightningModule) or any(
                is_overridden(hook, callback, Callback) for callback in callbacks
            )

        self._hooked = is_overridden("backward", self, LightningModule) or any(
            is_used(hook) for hook in ("on_before_backward", "on_after_backward")
        )
        self._steps_hooked = (
            is_used("on_before_optimizer_step")
            or is_overridden("optimizer_step", self.trainer.strategy, Strategy)
            or is_overridden("optimizer_step", self.trainer.precision_plugin, Precision)
        )
        if self.global_step:
            continue_after(self.trainer, self.global_step)
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
