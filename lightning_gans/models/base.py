"""What every adversarial model shares: two turns, the verbs, and nothing of any algorithm."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Protocol

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.errors import UserError
from lightning_gans.models.recipe import recipe
from lightning_gans.priors import Prior
from lightning_gans.randomness import stream

Player = Literal["discriminator", "generator"]
Batch = tuple[Tensor, Tensor]

PRECISIONS = ("32-true", "bf16-mixed", "64-true")


class NonFiniteLoss(UserError, FloatingPointError):
    """A term of a loss was NaN or infinite; training stops before it reaches the weights."""


class Minimize(Protocol):
    """Ends a turn: descends the sum of its terms, each logged as ``player/name``."""

    def __call__(self, **terms: Tensor) -> None:
        """Make one step of the acting player's optimiser on the sum of the scalar terms."""
        ...


def check_precision(precision: str) -> None:
    """Raise a UserError for a precision in which gradient penalties cannot be trusted."""
    if precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision={precision} is not supported, for penalties leave float16's range "
            f"and bfloat16 weights lose small steps; choose one of {', '.join(PRECISIONS)}"
        )


class AdversarialModule(LightningModule, ABC):
    """A game of two players, each with an optimiser of its own, that take turns.

    The discriminator player owns ``discriminator``; the generator player owns every other
    parameter. A subclass is final: it builds its networks and prior in the constructor and writes
    its algorithm flat in ``training_step``, in turns::

        with self.turn("discriminator") as minimize:
            minimize(adversarial=..., r1=...)
        with self.turn("generator") as minimize:
            minimize(adversarial=...)

    One ``training_step`` is one iteration. It ends with one step of the generator, and that step
    is what ``trainer.global_step`` counts; so ``max_steps``, logs and checkpoints all count
    iterations, though several optimiser steps are made.

    Args:
        optimizer: makes an optimiser from a list of parameters; used for each player.
        discriminator_optimizer: if given, the discriminator's own instead.

    Attributes:
        has_encoder: whether the method trains one, so that ``encode`` and ``reconstruct`` work.
        random: the stream that training draws from, own to this process; made when fit begins.
    """

    generator: nn.Module
    discriminator: nn.Module
    prior: Prior
    image_shape: tuple[int, ...]
    has_encoder: ClassVar[bool] = False
    random: torch.Generator | None = None

    def __init__(
        self,
        optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._optimizer = optimizer
        self._discriminator_optimizer = discriminator_optimizer or optimizer
        self._saved: dict[str, Any] = {}

    # Turns

    @contextmanager
    def turn(self, player: Player) -> Iterator[Minimize]:
        """One player's move: only its parameters require gradients, and ``minimize`` moves them.

        Raises:
            NonFiniteLoss: from ``minimize``, naming the term and the iteration.
        """
        optimizer = self._acting(player)
        iteration = self.global_step + 1

        def minimize(**terms: Tensor) -> None:
            self._check_finite(player, terms)
            loss = torch.stack(list(terms.values())).sum()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set later
            if every and iteration % every == 0:
                # not more often: each call of log costs half a millisecond
                self.log_dict({f"{player}/{name}": term.detach() for name, term in terms.items()})
                self.log(player, loss.detach(), logger=False, prog_bar=True)
                # by this name Lightning knows the axis, which it would else count from 0
                self.log("step", float(iteration))

        with self.toggled_optimizer(optimizer):
            yield minimize

    def _acting(self, player: Player) -> LightningOptimizer:
        both = self.optimizers()
        assert isinstance(both, list)
        discriminator, generator = both
        assert isinstance(discriminator, LightningOptimizer)
        assert isinstance(generator, LightningOptimizer)
        # Lightning counts every optimiser step as a step of training; only the generator's shall
        # count. It sets these two hooks anew before each training_step.
        discriminator._on_before_step = do_nothing_closure
        discriminator._on_after_step = do_nothing_closure
        return discriminator if player == "discriminator" else generator

    def _check_finite(self, player: Player, terms: dict[str, Tensor]) -> None:
        if torch.stack(list(terms.values())).detach().isfinite().all():
            return
        name, term = next((n, t) for n, t in terms.items() if not t.isfinite())
        raise NonFiniteLoss(
            f"the term '{player}/{name}' became {term.item()} in iteration {self.global_step + 1}; "
            "training stops before the weights are touched. A lower learning rate or a stronger "
            "gradient penalty usually helps"
        )

    # What Lightning asks for

    def configure_optimizers(self) -> list[Optimizer]:
        """The discriminator's optimiser, then the generator's."""
        # lists in the order of named_parameters: an optimiser's state is saved by position
        named = list(self.named_parameters())
        theirs = [p for name, p in named if name.startswith("discriminator.")]
        ours = [p for name, p in named if not name.startswith("discriminator.")]
        return [self._discriminator_optimizer(theirs), self._optimizer(ours)]

    def setup(self, stage: str) -> None:
        """Refuse a precision in which penalties cannot be trusted.

        Raises:
            UserError: for float16, whose range gradient penalties leave.
        """
        check_precision(self.trainer.precision)

    def on_fit_start(self) -> None:
        """Open the stream that training draws from, where it was left if this is a resumed run."""
        saved, made = self._saved, self._saved.get("global_step", 0)
        same = saved.get("random_device") == self.device.type and self.global_rank == 0
        # the saved state is of one process on one kind of device; others begin a new stream there
        purpose = f"training/{made}" if made and not same else "training"
        self.random = stream(purpose, rank=self.global_rank, device=self.device)
        if same:
            self.random.set_state(saved["random"].cpu())

    def on_train_start(self) -> None:
        """Let the config's rates hold: a checkpoint brings back those it was saved with."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group.update({k: v for k, v in optimizer.defaults.items() if k in group})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random stream, and how to build this model, as plain data."""
        checkpoint["hyper_parameters"], checkpoint["not_saved"] = recipe(self)
        if self.random is not None:
            checkpoint["random"] = self.random.get_state()
            checkpoint["random_device"] = self.random.device.type

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random stream until fit begins, and the iterations made."""
        keys = ("random", "random_device", "global_step")
        self._saved = {key: checkpoint[key] for key in keys if key in checkpoint}

    @property
    def iterations(self) -> int:
        """Iterations that these weights were trained for, in this fit or before a checkpoint."""
        return max(self.trainer.global_step, int(self._saved.get("global_step", 0)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks measure, with the averaged weights, while Lightning walks the data."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing, as in :meth:`validation_step`."""

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Codes and reconstructions of a batch; without an encoder, as many samples."""
        x, _ = batch
        if not self.has_encoder:
            return {"sample": self.generate(len(x), self.random)}
        code = self.encode(x)
        return {"code": code, "reconstruction": self.decode(code)}

    # Verbs. They take no part in gradients; for those use ``generator`` and ``discriminator``.

    @torch.no_grad()
    def generate(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` images, (n, *image_shape), in [-1, 1], from a random generator if given."""
        return self.decode(self.prior.sample(n, generator))

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The images of latents z, (n, latent_dim) to (n, *image_shape), in [-1, 1].

        Points, which are no images, are not clipped.
        """
        self._check(z, (self.prior.dim,), "latents")
        x: Tensor = self.generator(z * self.prior.scale())
        return x.clamp(-1, 1) if len(self.image_shape) == 3 else x

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of images: (n, *image_shape) in [-1, 1] to (n, latent_dim).

        Raises:
            UserError: if the method trains no encoder.
        """
        if not self.has_encoder:
            raise UserError(
                f"{type(self).__name__} has no encoder: its discriminator reads no code. Train a "
                "model that has one, such as DLSGAN"
            )
        self._check(x, self.image_shape, "images")
        code: Tensor = self.discriminator(x).code
        return code

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the codes of images, (n, *image_shape) to the same."""
        return self.decode(self.encode(x))

    def _check(self, values: Tensor, shape: tuple[int, ...], what: str) -> None:
        if values.shape[1:] != shape:
            raise ValueError(
                f"expected {what} of shape (n, {', '.join(map(str, shape))}), "
                f"got {tuple(values.shape)}"
            )
