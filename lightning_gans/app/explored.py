"""The models that a page explores, and what it knows of the data that they were trained on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import copy_context
from itertools import chain
from threading import Lock
from typing import NamedTuple, TypeAlias

from torch import Tensor

from lightning_gans.app.images import Preparation
from lightning_gans.errors import InputError, UserError
from lightning_gans.models import Decodes, Model

# bytes of the weights of all models that are kept
MOST_BYTES = 2 * 2**30


class Verdict(NamedTuple):
    """How usual an image is among held-out ones.

    Attributes:
        pvalue: the share of held-out images that are at least as anomalous, with this one.
        score: by which that is judged.
        held_out: how many held-out images there are.
    """

    pvalue: float
    score: str
    held_out: int


Draws: TypeAlias = Callable[[int, float | None, tuple[int, ...]], Tensor]
"""The samples of a seed, with the bound of their truncation and their category."""

Judge: TypeAlias = Callable[[Tensor], Verdict]
"""Says how usual an image is, (1, *image_shape)."""


class Explored(NamedTuple):
    """A trained model of images.

    Attributes:
        model: that makes images.
        preparation: of the images that it was trained on.
        draws: the samples of a seed; None if there are none.
        judge: None if nothing is known of held-out images.
    """

    model: Decodes
    preparation: Preparation = Preparation()
    draws: Draws | None = None
    judge: Judge | None = None

    @property
    def takes_images(self) -> bool:
        """Whether an upload can be prepared for the model: its images are square."""
        return self.model.image_shape[1] == self.model.image_shape[2]

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        tensors = chain(self.model.parameters(), self.model.buffers())
        return sum(t.numel() * t.element_size() for t in tensors)


def check_images(model: Model) -> Decodes:
    """The model, which makes images.

    Raises:
        UserError: if it does not.
    """
    if not isinstance(model, Decodes):
        raise UserError(f"expected a model that generates images, got a {type(model).__name__}")
    if len(model.image_shape) != 3:
        raise UserError(f"expected a model of images, got one of points {model.image_shape}")
    return model


class Models:
    """Models by their names; each is loaded when it is first used.

    Those that were used last stay in memory, as many as have ``most`` bytes of weights together.

    Args:
        loaders: for each name, a function that loads the model.
        most: bytes; the model that is used is kept in any case.
    """

    def __init__(
        self, loaders: Mapping[str, Callable[[], Explored]], most: int = MOST_BYTES
    ) -> None:
        self.names = list(loaders)
        self.most = most
        self._loaders = dict(loaders)
        # gradio answers in threads of its own, which do not know which modules the user trusts;
        # each model has a copy, as a context is in one thread at a time
        self._contexts = {name: copy_context() for name in loaders}
        # a model that one browser waits for is not loaded a second time for another
        self._loading = {name: Lock() for name in loaders}
        self._loaded: OrderedDict[str, Explored] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str) -> Explored:
        """The model of a name.

        Raises:
            InputError: if there is none of this name.
            UserError: if it cannot be loaded.
        """
        if name not in self._loaders:
            raise InputError(f"there is no model {name}; there are {', '.join(self.names)}")
        with self._loading[name]:
            with self._lock:
                found = self._loaded.get(name)
            found = found or self._contexts[name].run(self._loaders[name])
            with self._lock:
                self._loaded[name] = found
                self._loaded.move_to_end(name)
                while len(self._loaded) > 1 and self._held() > self.most:
                    self._loaded.popitem(last=False)
            return found

    def _held(self) -> int:
        return sum(explored.size for explored in self._loaded.values())
