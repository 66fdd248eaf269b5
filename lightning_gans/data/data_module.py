"""The base of all data modules: batches (x, y), and what is known of the images before loading."""

from __future__ import annotations

import inspect
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sized
from typing import Any, ClassVar, Self, cast

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data.images import Crop
from lightning_gans.data.loader import Loader
from lightning_gans.data.mirrored import WithMirrored
from lightning_gans.data.sampling import EpochShuffle, Share
from lightning_gans.data.tensors import Batch, whole_batch
from lightning_gans.errors import InputError, UserError
from lightning_gans.ranges import BatchSize, Workers, checked
from lightning_gans.rng import global_seed


class DataMissing(UserError, FileNotFoundError):
    """Files of the data are missing; the message names them and explains how to get them."""


class DataModule(LightningDataModule, ABC):
    """Training and validation data whose batches are ``(x, y)``.

    ``x`` is float32, images in [-1, 1]; ``y`` is int64, zeros where there are no labels: (n,) class
    indices of one label, (n, labels) of several.

    A subclass sets ``train_set`` and ``validation_set`` in ``setup``, which may be called more than
    once, and stores each argument of its constructor in an attribute of the same name:
    :meth:`describe` and :meth:`replace` read them there.

    Args:
        batch_size: examples in a batch of each process, at least 1.
        workers: processes that load the batches; 0 loads them in the training process.

    Attributes:
        name: what results call these data, such as ``mnist``; the class name in lower case unless
            a subclass sets another.
        padding: black pixels that are added on each side of an image. Images from elsewhere need
            the same before a model of these data sees them.
        crop: which part of an image file is kept before it is resized.
        has_digits: whether these are handwritten digits, which the shipped classifier knows.
        few: with fewer training images than this, a run advises augmentation; 0 never does.
        flip: whether training sees a random half of the images mirrored, in each epoch another.
        loading_arguments: constructor arguments that do not decide which images these are.

    Raises:
        ValueError: if ``batch_size`` or ``workers`` is out of range.
    """

    name: str
    padding: int = 0
    crop: Crop = "center"
    has_digits: bool = False
    few: ClassVar[int] = 0
    flip: bool = False
    loading_arguments: ClassVar[frozenset[str]] = frozenset({"batch_size", "workers"})

    train_set: Dataset[Batch]
    validation_set: Dataset[Batch]

    @checked
    def __init__(self, batch_size: BatchSize = 32, workers: Workers = 0) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.workers = workers
        self.name = self.name or type(self).__name__.lower()

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W) of an image, (2,) of a point. Known before ``setup``."""

    @property
    @abstractmethod
    def classes(self) -> tuple[int, ...]:
        """How many classes each label in ``y`` has, () without labels; known before ``setup``.

        (10,) for digits, (2, 2, 2) for three binary attributes.
        """

    @property
    def class_names(self) -> tuple[tuple[str, ...], ...] | None:
        """The names of the classes of each label, known before ``setup``; None without names.

        An attribute, which images have or have not, has the classes "not NAME" and NAME.
        """
        return None

    @property
    def has_images(self) -> bool:
        """Whether the examples are images; otherwise they are points."""
        return len(self.image_shape) == 3

    @property
    def original_side(self) -> int | None:
        """The side of image files before they are resized, typically, known after ``setup``.

        In pixels; None of data that have one size only.
        """
        return None

    def constructor_arguments(self) -> dict[str, Any]:
        """The arguments that this data module was built with, by name.

        Raises:
            TypeError: if the class does not store one of them under its own name.
        """
        names = list(inspect.signature(type(self)).parameters)
        if absent := [name for name in names if not hasattr(self, name)]:
            raise TypeError(
                f"{type(self).__name__} must store its constructor arguments in attributes of the "
                f"same names; there is no {', '.join(absent)}"
            )
        return {name: getattr(self, name) for name in names}

    def replace(self, **changes: Any) -> Self:
        """A new data module of this class, with some constructor arguments changed.

        Raises:
            TypeError: if the constructor has no such argument.
            ValueError: if a value is out of its range.
        """
        return type(self)(**{**self.constructor_arguments(), **changes})

    def describe(self) -> str:
        """These data as JSON: equal texts mean equal images.

        It has the class, the constructor arguments that decide which images there are, and the
        padding if there is any. Arguments that are None are left out, so that an optional argument
        added to a class later leaves its old descriptions valid.
        """
        described: dict[str, object] = {
            "class_path": _public_path(type(self)),
            "init_args": {
                name: value
                for name, value in self.constructor_arguments().items()
                if name not in self.loading_arguments and value is not None
            },
        }
        if self.padding:
            described["padding"] = self.padding
        return json.dumps(described, sort_keys=True, default=str)

    @abstractmethod
    def setup(self, stage: str | None = None) -> None:
        """Make ``train_set`` and ``validation_set``; only "fit" and None need the first.

        Args:
            stage: "fit", "validate", "test" or "predict"; None makes everything.
        """

    def example_weights(self) -> Tensor | None:
        """Relative probability of each training example, (n,); None to see each once an epoch."""
        return None

    def check_fills_batch(self) -> None:
        """Check that there are enough training examples, once they are set up.

        Raises:
            ValueError: if they are fewer than fill one batch of each process.
        """
        processes = 1 if self.trainer is None else self.trainer.world_size
        found = len(cast(Sized, self.train_set))
        if found < self.batch_size * processes:
            each = f" in each of {processes} processes" if processes > 1 else ""
            most = found // processes
            advice = f"choose data.batch_size={most} or less" if most else "more are needed"
            raise InputError(
                f"{type(self).__name__} has {found} training examples, which do not fill one batch "
                f"of {self.batch_size}{each}; {advice}"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        """This process's share of the batches, reshuffled each epoch; a partial one is dropped.

        Raises:
            ValueError: if there are fewer training examples than fill one batch.
        """
        self.check_fills_batch()
        trainer = self.trainer
        rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        found, global_batch = len(cast(Sized, self.train_set)), self.batch_size * processes
        counted = None if trainer is None else lambda: trainer.global_step
        sampler = EpochShuffle(
            found,
            global_seed(),
            global_batch,
            counted,
            rank,
            processes,
            mirrored=self.flip,
            weights=self.example_weights(),
        )
        shown = WithMirrored(self.train_set) if self.flip else self.train_set
        return self._loader(shown, sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every validation example once, in order; each process gets its share.

        Raises:
            ValueError: if there are none, or fewer than processes.
        """
        trainer, found = self.trainer, len(cast(Sized, self.validation_set))
        rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        if not found:
            raise InputError(f"{type(self).__name__} has no validation examples")
        if found < processes:
            raise InputError(
                f"{type(self).__name__} has {found} validation examples for {processes} processes, "
                "each of which needs one; use fewer processes"
            )
        return self._loader(self.validation_set, Share(found, rank, processes))

    def test_dataloader(self) -> DataLoader[Batch]:
        """The validation examples, in order."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The validation examples, in order."""
        return self.val_dataloader()

    def _loader(
        self, dataset: Dataset[Batch], sampler: EpochShuffle | Share, drop_last: bool = False
    ) -> DataLoader[Batch]:
        return Loader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=whole_batch,
            pin_memory=torch.cuda.is_available(),
            # a loader draws a seed even without workers: keep it off the global random stream
            generator=torch.Generator(),
        )


def _public_path(cls: type) -> str:
    """The shortest import path of a class: that of the package that exports it, if one does."""
    parts = cls.__module__.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    found = (p for p in packages if getattr(sys.modules.get(p), cls.__name__, None) is cls)
    return f"{next(found, cls.__module__)}.{cls.__qualname__}"
