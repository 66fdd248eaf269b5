"""What all models share: turns, checkpoints, random streams, verbs; nothing of any algorithm."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.core.optimizer import LightningOptimizer, do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gans.errors import InputError, UserError
from lightning_gans.inputs import check_images, check_shape, clip
from lightning_gans.labels import Classes, classes_of
from lightning_gans.models.recipe import recipe
from lightning_gans.models.streams import open_streams, states
from lightning_gans.priors import Categories, Prior, Traced
from lightning_gans.processes import anywhere
from lightning_gans.strategies import GANDDP

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


class Model(LightningModule, ABC):
    """Players that take turns, each with an optimiser of its own, and the verbs of a trained model.

    A subclass is final: it builds its networks in the constructor and writes its algorithm flat in
    ``training_step``, in turns::

        with self.turn("encoder") as minimize:
            minimize(latent=...)

    One ``training_step`` is one iteration. It ends with one step of the last player, and that step
    is what ``trainer.global_step`` counts; so ``max_steps``, logs and checkpoints all count
    iterations, though several optimiser steps may be made.

    Args:
        optimizers: for each player, what makes its optimiser from parameters.

    Attributes:
        players: their names, in order; the last ends an iteration.
        verbs: what a trained model of this class can be asked for, by the names of the methods.
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: of class-conditional models and classifiers, how many classes each label has.
        prior: of the continuous latent.
        categories: of the condition, for class-conditional models.
        random: the stream that training draws from, own to this process; made when fit begins.
    """

    players: ClassVar[tuple[str, ...]]
    verbs: ClassVar[tuple[str, ...]] = ()
    image_shape: tuple[int, ...]
    classes: Classes
    generator: nn.Module
    prior: Prior
    categories: Categories | None
    random: torch.Generator | None = None

    def __init__(self, *optimizers: OptimizerCallable) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.categories = None  # here: a class attribute would hide the module of this name
        self._optimizers = optimizers
        self._rates: list[list[dict[str, Any]]] = []
        self._saved: dict[str, Any] = {}

    # Turns

    @contextmanager
    def turn(self, player: str) -> Iterator[Minimize]:
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
        if not anywhere(not finite, self.device):
            return  # all processes stop at the same place, or none does
        wrong = [f"'{player}/{n}' became {t.item()}" for n, t in terms.items() if not t.isfinite()]
        what = wrong[0] if wrong else f"of {player} is not finite in another process"
        raise NonFiniteLoss(
            f"the term {what} in iteration {self.global_step + 1}; "
            "training stops before the weights are touched. A lower learning rate or a stronger "
            "gradient penalty usually helps"
        )

    # What Lightning asks for

    def owned(self, player: str) -> list[dict[str, Any]]:
        """A player's parameters, as groups for its optimiser: by default all that are trained.

        In the order of ``named_parameters``: an optimiser's state is saved by position.
        """
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def configure_optimizers(self) -> list[Optimizer]:
        """The players' optimisers, in order."""
        made = [
            make(self.owned(player))
            for player, make in zip(self.players, self._optimizers, strict=True)
        ]
        self._rates = [
            [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            for optimizer in made
        ]
        return made

    def setup(self, stage: str) -> None:
        """Refuse precisions in which penalties cannot be trusted, strategies not made for turns.

        Raises:
            UserError: for float16, whose range gradient penalties leave; for several processes that
                train with another strategy than ``gan_ddp``.
        """
        check_precision(self.trainer.precision)
        strategy = self.trainer.strategy
        if stage == "fit" and self.trainer.world_size > 1 and not isinstance(strategy, GANDDP):
            raise UserError(
                f"{type(strategy).__name__} is not for players that take turns; leave "
                f"trainer.strategy out, or say trainer.strategy={GANDDP.strategy_name}"
            )

    def on_fit_start(self) -> None:
        """Open the streams that training draws from, where they were left by a resumed run."""
        self.random = open_streams(
            self._saved, self.device, self.global_rank, self.trainer.world_size
        )

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

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Refuse data that are not what the networks were made for.

        Raises:
            InputError: for images of another shape or range, or with NaN.
        """
        check_images(batch[0], self.image_shape, "images of the data")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random streams, and how to build this model, as plain data."""
        checkpoint["hyper_parameters"], checkpoint["not_saved"] = recipe(self)
        if self.random is not None:
            checkpoint["random"] = states(self.random)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the random streams until fit begins, and the iterations made."""
        keys = ("random", "global_step")
        self._saved = {key: checkpoint[key] for key in keys if key in checkpoint}

    @property
    def iterations(self) -> int:
        """Iterations that these weights were trained for, in this fit or before a checkpoint."""
        return max(self.trainer.global_step, int(self._saved.get("global_step", 0)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Check the data; callbacks measure, with the averaged weights.

        Raises:
            InputError: for images of another shape or range, or with NaN.
        """
        check_images(batch[0], self.image_shape, "images of the data")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As :meth:`validation_step`."""
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """What the model tells of a batch: codes, categories or classes; else as many samples."""
        x, _ = batch
        if "encode" in self.verbs:
            code = self.encode(x)
            return {"code": code, "reconstruction": self.decode(code)}
        if "cluster" in self.verbs:
            return {"category": self.cluster(x)}
        if "classify" in self.verbs:
            return {"class": self.classify(x)}
        return {"sample": self.generate(len(x), self.random)}

    # Verbs. They take no part in gradients; for those use the networks.

    def _must(self, verb: str, why: str) -> None:
        if verb not in self.verbs:
            raise UserError(
                f"{type(self).__name__} {why}; it can be asked to {', '.join(self.verbs)}"
            )

    @torch.no_grad()
    def generate(
        self,
        n: int,
        generator: torch.Generator | None = None,
        category: int | Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        """Draw ``n`` images, (n, *image_shape), in [-1, 1].

        Args:
            n: how many.
            generator: the random stream to draw from; torch's own without.
            category: of class-conditional models: one for all, or (n,); for several labels
                (labels,) or (n, labels). Drawn from P(C) without.

        Raises:
            UserError: if the model does not generate, or not by category.
            ValueError: if a category is out of range.
        """
        self._must("generate", "generates no images")
        z = self.prior.sample(n, generator)
        if self.categories is None:
            if category is not None:
                raise UserError(f"{type(self).__name__} is not class-conditional: leave category")
            return self.decode(z)
        if category is None:
            return self.decode(z, self.categories.sample(n, generator))
        return self.decode(z, self.categories.condition(category, n))

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The images of latents, in [-1, 1]. Points, which are no images, are not clipped.

        Args:
            z: (n, latent_dim).
            c: (n, sum(classes)), the conditions of a class-conditional model.

        Returns:
            (n, *image_shape).

        Raises:
            UserError: if the model does not decode.
            ValueError: if a shape is wrong, or a number is not finite.
        """
        self._must("decode", "decodes no latents")
        check_shape(z, (self.prior.dim,), "latents")
        latents = [z * self.prior.scale()]
        if self.categories is not None:
            if c is None:
                raise InputError(f"{type(self).__name__} decodes a latent with a condition c")
            check_shape(c, (sum(self.categories.classes),), "conditions")
            latents.append(c)
        return clip(self.generator(*latents))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of images: (n, *image_shape) in [-1, 1] to (n, latent_dim).

        Raises:
            UserError: if the method trains no encoder.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("encode", "has no encoder of images")
        check_images(x, self.image_shape)
        return self.read(x)

    def read(self, x: Tensor) -> Tensor:
        """What the encoder reads of x, (n, latent_dim); unchecked, and gradients flow."""
        raise UserError(f"{type(self).__name__} has no encoder of images")

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the codes of images, (n, *image_shape) to the same.

        Raises:
            UserError: if the method trains no encoder.
        """
        self._must("reconstruct", "reconstructs no images")
        return self.decode(self.encode(x))

    @torch.no_grad()
    def cluster(self, x: Tensor) -> Tensor:
        """The categories of images, (n, *image_shape) to (n,), or (n, labels) of several labels.

        Raises:
            UserError: if the model finds no categories.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("cluster", "finds no categories in images")
        check_images(x, self.image_shape)
        return classes_of(self.read_classes(x), self.classes)

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """The predicted classes of images, (n, *image_shape) to (n,), or (n, labels) of several.

        Raises:
            UserError: if the model predicts no classes.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("classify", "predicts no classes of images")
        check_images(x, self.image_shape)
        return classes_of(self.read_classes(x), self.classes)

    def read_classes(self, x: Tensor) -> Tensor:
        """Logits of the classes or categories of x, (n, sum(classes)); unchecked."""
        raise UserError(f"{type(self).__name__} tells no classes")

    @torch.no_grad()
    def ood_score(self, x: Tensor) -> Tensor:
        """How strange images are, (n, *image_shape) to (n,): higher is stranger (AnoDLSGAN).

        The negative log likelihood of their codes under the traced variance, in nats and in closed
        form (thesis, Eq. 37).

        Raises:
            UserError: if the model has no such score, or its prior traces no variance.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("ood_score", "has no score of how strange images are")
        if not isinstance(self.prior, Traced):
            raise UserError(
                f"{type(self).__name__} scores by a traced variance, which its prior "
                f"{type(self.prior).__name__} does not keep; train with DynamicScale or FixedScale"
            )
        return self.prior.negative_log_likelihood(self.encode(x))
