"""What all models share: turns, capabilities, checkpoints, random generators; no algorithm."""

from __future__ import annotations

import inspect
from abc import ABC
from contextlib import suppress
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningDataModule, callbacks
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor, nn

from lightning_gans.compat import callbacks_of, count_epochs, plain_name, silence_chatter
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.errors import InputError, UserError
from lightning_gans.labels import check_labels
from lightning_gans.models.base.alternating import AlternatingTurns
from lightning_gans.models.base.capabilities import (
    Capability,
    Classifies,
    Clusters,
    Encodes,
    Generates,
    Reconstructs,
    capabilities,
    not_capable,
)
from lightning_gans.models.base.constructor_spec import constructor_spec
from lightning_gans.models.base.optimizer_states import check_optimizer_states
from lightning_gans.models.base.rng_state import restore_rng, rng_state
from lightning_gans.priors import Categories
from lightning_gans.ranges import annotations_of, check_values
from lightning_gans.runs.checkpoint_format import stamp
from lightning_gans.runs.checkpoints import check_content, check_parts
from lightning_gans.runs.exported import as_names
from lightning_gans.validation import as_input, check_images

Batch = tuple[Tensor, Tensor]

silence_chatter()

# callbacks of Lightning that rely on automatic optimisation, and what to do instead
UNSUITED: dict[type[Callback], str] = {
    callbacks.LearningRateFinder: "choose optimizer.lr",
    callbacks.BatchSizeFinder: "choose data.batch_size",
    callbacks.GradientAccumulationScheduler: "choose data.batch_size",
    callbacks.StochasticWeightAveraging: "ema.decay and ema.every average the weights",
    # its average would replace the weights, of which it has seen none or only the first
    callbacks.WeightAveraging: "ema.decay and ema.every average the weights",
}

PRECISIONS = ("32-true", "bf16-mixed", "64-true")


def check_precision(precision: str) -> None:
    """Raise a UserError for a precision in which gradient penalties cannot be trusted."""
    if precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision={precision} is not supported: penalties exceed float16's range, "
            f"and bfloat16 weights lose small steps; choose one of {', '.join(PRECISIONS)}"
        )


class Model(AlternatingTurns, Capability, ABC):
    """Players that take turns, each with its own optimiser.

    A subclass is final. It also derives from the capabilities that its method supports, builds its
    networks in the constructor and writes its algorithm flat in ``training_step``, in turns::

        with self.turn("encoder") as minimize:
            minimize(latent=...)

    Args:
        optimizers: for each player, a factory that makes its optimiser from parameters.

    Attributes:
        uses_labels: whether training needs the labels of the data.
        random: this process's random generator for training; created when fit begins.
        categories: the distribution of a class-conditional model's conditions; otherwise None.
    """

    uses_labels: ClassVar[bool] = False
    random: torch.Generator | None = None
    categories: Categories | None

    def __init__(self, *optimizers: OptimizerCallable) -> None:
        super().__init__(*optimizers)
        self.categories = None  # here: a class attribute would hide the module of this name
        self._saved: dict[str, Any] = {}
        # the weights of a compiled network have the names of the network
        self.register_state_dict_post_hook(_name_plainly)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_name_as_in_model)  # type: ignore[no-untyped-call]

    def save_hyperparameters(self, *args: Any, **kwargs: Any) -> None:
        """Keep the constructor's arguments for checkpoints, and check them against their types.

        A decorated constructor, as those of other parts, would hide the arguments of a subclass.

        Raises:
            OutOfRange: for an argument that is not of the type of its annotation.
        """
        if kwargs.get("frame") is None:
            current = inspect.currentframe()
            assert current is not None
            kwargs["frame"] = current.f_back
        super().save_hyperparameters(*args, **kwargs)
        check_values(annotations_of(type(self))[1], self.hparams)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The names of this model's capabilities, e.g. ("generate", "decode")."""
        return capabilities(type(self))

    def __getattr__(self, name: str) -> Any:
        """Parameters, buffers and submodules by name.

        They have the type ``Any``, so that the result of ``load`` can be used without
        ``isinstance``.

        Raises:
            NotCapable: for a method of a capability that this model does not have.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            error = not_capable(type(self), name)
            if error is None:
                raise
            raise error from None

    def setup(self, stage: str) -> None:
        """Refuse what does not work with penalties and turns.

        Raises:
            UserError: for float16, whose range gradient penalties exceed, for several processes
                with a strategy other than ``gan_ddp``, and for callbacks that rely on automatic
                optimisation.
        """
        if stage == "fit":
            self._name_classes()
        check_precision(self.trainer.precision)
        for callback in callbacks_of(self.trainer) if stage == "fit" else ():
            for kind, instead in UNSUITED.items():
                if isinstance(callback, kind):
                    raise UserError(
                        f"the callback {kind.__name__} does not work with players that take "
                        f"turns, which optimise by hand; {instead}"
                    )
        strategy = self.trainer.strategy
        if stage == "fit" and self.trainer.world_size > 1 and not isinstance(strategy, GANDDP):
            raise UserError(
                f"{type(strategy).__name__} does not support players that take turns; leave out "
                f"trainer.strategy, or choose trainer.strategy={GANDDP.strategy_name}"
            )

    def _name_classes(self) -> None:
        """Take over the names of the data's classes, which checkpoints keep.

        A model without labels may find as many categories, but they are others.
        """
        data: object = getattr(self.trainer, "datamodule", None)
        names = as_names(getattr(data, "class_names", None)) if self.uses_labels else None
        if names and tuple(map(len, names)) == tuple(self.classes):
            self.class_names = names

    def on_fit_start(self) -> None:
        """Create the random generator of training; a resumed run restores its state.

        Raises:
            UnreadableCheckpoint: if the state of an optimizer is of another model or optimizer.
        """
        if "optimizer_states" in self._saved:
            states = self._saved.pop("optimizer_states")
            check_optimizer_states(self.trainer.optimizers, states, self._origin())
        self.random = restore_rng(
            self._saved, self.device, self.global_rank, self.trainer.world_size, self._origin()
        )

    def _origin(self) -> str:
        """The path of the checkpoint that is restored, for messages."""
        with suppress(RuntimeError):  # a model that is loaded without a Trainer
            return str(self.trainer.ckpt_path or "the checkpoint")
        return "the checkpoint"

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Check a batch while it is still on the CPU; images of float64 or half become float32.

        On a GPU, the check would wait until the GPU has done all its work.

        Raises:
            InputError: for images of another shape, range or type, or with NaN; in training, also
                for labels out of range, if the model uses them.
        """
        return self._checked(batch)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """As Lightning's own, which copies the structure of a batch that is in place, too."""
        if all(isinstance(part, Tensor) and part.device == device for part in batch):
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def _checked(self, batch: object) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            given = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else ""
            raise InputError(
                "expected the data's batches as pairs of images and labels (x, y), got "
                f"{given or type(batch).__name__}"
            )
        x, y = batch
        x = as_input(x, None, "images of the data").to(next(self.parameters()).dtype)
        check_images(x, self.image_shape, "images of the data")
        if self.uses_labels and self.training:
            check_labels(y, self.classes)
        return x, y

    def _check_unless_checked(self, batch: Batch) -> None:
        """Check a batch of data whose own ``on_before_batch_transfer`` replaces the model's."""
        data = getattr(self.trainer, "datamodule", None)
        if data is None or (
            type(data).on_before_batch_transfer is LightningDataModule.on_before_batch_transfer
        ):
            return
        x, _ = self._checked(batch)
        if x.dtype != batch[0].dtype:
            raise InputError(
                f"expected images of the data as {x.dtype}, got {batch[0].dtype}; convert them in "
                "on_before_batch_transfer of your data module"
            )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Check what no other hook has checked."""
        self._check_unless_checked(batch)

    def on_validation_batch_start(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """As :meth:`on_train_batch_start`."""
        self._check_unless_checked(batch)

    def on_test_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """As :meth:`on_train_batch_start`."""
        self._check_unless_checked(batch)

    def on_predict_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """As :meth:`on_train_batch_start`."""
        self._check_unless_checked(batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the random state and the constructor's spec, as plain data."""
        checkpoint["hyper_parameters"], checkpoint["not_saved"] = constructor_spec(self)
        if self.class_names is not None:
            checkpoint["class_names"] = [list(label) for label in self.class_names]
        if self.random is not None:
            checkpoint["random"] = rng_state(self.random)
        with suppress(RuntimeError):  # a model that is saved without a Trainer
            per_epoch = self.trainer.num_training_batches
            if 0 < per_epoch < float("inf"):
                # Lightning's count depends on whether the end of the epoch has been noticed yet
                checkpoint["epoch"] = checkpoint["global_step"] // int(per_epoch)
        stamp(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check a checkpoint; remember its random state and iterations.

        What a Trainer's ``max_time`` has counted is dropped: it counts from each start.

        Raises:
            UnreadableCheckpoint: for invalid content, weights with a wrong checksum, or parts that
                training needs and that are missing.
        """
        check_content(checkpoint, self._origin())
        with suppress(RuntimeError):
            if self.trainer.state.fn == TrainerFn.FITTING:
                check_parts(checkpoint, self._origin())
                count_epochs(checkpoint["loops"], checkpoint["epoch"])
        trained = as_names(checkpoint.get("class_names"))
        if trained and self.class_names and trained != self.class_names:
            rank_zero_warn(changed_names(trained, self.class_names))
        self.class_names = self.class_names or trained
        keys = ("random", "global_step", "optimizer_states")
        self._saved = {key: checkpoint[key] for key in keys if key in checkpoint}
        checkpoint.get("callbacks", {}).pop(Timer.__qualname__, None)

    @property
    def iterations(self) -> int:
        """The number of iterations of these weights, including those before a resume."""
        return max(self.trainer.global_step, int(self._saved.get("global_step", 0)))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Do nothing: callbacks evaluate the averaged weights."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As :meth:`validation_step`."""
        self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The predictions of a batch: codes, categories or classes; otherwise as many samples."""
        x, _ = batch
        if isinstance(self, Reconstructs):
            code = self.encode(x)
            return {"code": code, "reconstruction": self.decode(code)}
        if isinstance(self, Encodes):
            return {"code": self.encode(x)}
        if isinstance(self, Clusters):
            return {"category": self.cluster(x)}
        if isinstance(self, Classifies):
            return {"class": self.classify(x)}
        if isinstance(self, Generates):
            return {"sample": self.generate(len(x), self.random)}
        return {}


def changed_names(trained: tuple[tuple[str, ...], ...], now: tuple[tuple[str, ...], ...]) -> str:
    """What to tell of class names that are not those of a checkpoint."""
    old, new = ([name for label in names for name in label] for names in (trained, now))
    pairs = [(a, b) for a, b in zip(old, new, strict=False) if a != b]
    first = f"'{pairs[0][0]}' is now '{pairs[0][1]}'" if pairs else f"{len(old)} and {len(new)}"
    return (
        f"the classes of the data are called otherwise than when training began ({first}); if the "
        "labels themselves have changed, begin a new run"
    )


def _name_plainly(module: nn.Module, weights: dict[str, Any], prefix: str, _: object) -> None:
    """Give the weights of compiled networks their plain names, in the same order."""
    if any(name != plain_name(name) for name in weights):
        plain = {plain_name(name): value for name, value in weights.items()}
        weights.clear()
        weights.update(plain)


def _name_as_in_model(module: nn.Module, weights: dict[str, Any], prefix: str, *_: object) -> None:
    """Give weights the names by which a model has them, some of whose networks may be compiled."""
    own = [name for name, _ in module.named_parameters()] + [n for n, _ in module.named_buffers()]
    names = {plain_name(name): name for name in own}
    found = dict(weights)
    if any(names.get(plain_name(name), name) != name for name in found):
        weights.clear()
        for name, value in found.items():
            weights[names.get(plain_name(name), name)] = value
