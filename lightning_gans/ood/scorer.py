"""What all scorers are: a trained model's scores of images, by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.inversion.frozen import frozen
from lightning_gans.models import Model
from lightning_gans.validation import check_images

# scores by name, each computed when it is called for
Ways: TypeAlias = Mapping[str, Callable[[], Tensor]]


class Scorer(ABC):
    """Scores of images by a trained model, higher for what is stranger; ``scorer`` makes one.

    Args:
        model: a trained one; held in evaluation mode while it scores.
        names: which scores to give; without, :attr:`standard`.

    Attributes:
        model: the model.
        learns: whether :meth:`fit` learns anything.

    Raises:
        InputError: if there is no score of a name.
    """

    learns: ClassVar[bool] = False

    def __init__(self, model: Model, names: Sequence[str] | None = None) -> None:
        self.model = model
        self._asked = names
        for name in names or ():
            if name not in self.offered:
                raise InputError(
                    f"{type(model).__name__} gives no score '{name}'; it gives "
                    f"{', '.join(self.offered)}"
                )

    @property
    @abstractmethod
    def offered(self) -> tuple[str, ...]:
        """The names of all scores that can be asked for."""

    @property
    @abstractmethod
    def standard(self) -> tuple[str, ...]:
        """The names of the scores that are given if none are asked for: those that cost little."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scores that a call gives, in order."""
        return self.standard if self._asked is None else tuple(self._asked)

    def fit(self, training: Iterable[Tensor]) -> None:  # noqa: B027  (most learn nothing)
        """Learn what scores need of training images, given as batches (n, *image_shape).

        Nothing, unless the scorer's own description says otherwise.
        """

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Images (n, *image_shape) in [-1, 1] to the scores by name, each (n,).

        The encoder sees an image once, however many scores there are.

        Raises:
            InputError: if x has another shape or range, a number is not finite, or a score that
                was asked for needs :meth:`fit` first.
        """
        if not _well(x, self.model.image_shape):
            check_images(x, self.model.image_shape)  # says what is wrong
        with frozen(self.model), torch.no_grad():
            ways = self._look(x)
            return {name: ways[name]() for name in self.names}

    @abstractmethod
    def _look(self, x: Tensor) -> Ways:
        """See checked images once, for all scores."""


def _well(x: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether images pass :func:`check_images` by one look at each pixel: it takes several."""
    if x.shape[1:] != shape or not x.numel() or not x.is_floating_point():
        return False
    # NaN is passed on by these, and passes no comparison
    low, high = x.aminmax()
    return bool(low >= -1) and bool(high <= 1)
