"""Labels of one or several kinds, as one-hot vectors side by side: pure functions.

``classes`` tells how many classes each label has: (10,) for digits, (2, 2, 2) for three binary
attributes, which are pairs here too (thesis, section 3.1), (3, 2, 2) for hair, smile and bangs.
A condition c is (N, sum(classes)) with a one for each label; scores and logits have the same width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (the name everyone knows)
from torch import Tensor

from lightning_gans.errors import InputError

Classes: TypeAlias = tuple[int, ...]


def split(values: Tensor, classes: Classes) -> tuple[Tensor, ...]:
    """The part of each label, (..., sum(classes)) to (..., k) for each k in classes."""
    return torch.split(values, list(classes), -1)


def one_hot(y: Tensor, classes: Classes, dtype: torch.dtype = torch.float32) -> Tensor:
    """The condition of class indices: (N,) for one label or (N, labels), to (N, sum(classes)).

    Raises:
        ValueError: if there are not as many labels, or an index is out of its range.
    """
    indices = y[:, None] if y.ndim == 1 else y
    if indices.ndim != 2 or indices.shape[1] != len(classes):
        raise InputError(
            f"expected the class indices of {len(classes)} labels, got shape {tuple(y.shape)}"
        )
    sizes = torch.tensor(classes, device=y.device)
    if ((indices < 0) | (indices >= sizes)).any():
        label = int(((indices < 0) | (indices >= sizes)).any(0).nonzero()[0])
        column = indices[:, label]
        raise InputError(
            f"expected classes 0 to {classes[label] - 1} of label {label}, "
            f"got {int(column.min())} to {int(column.max())}"
        )
    columns = indices.long().unbind(1)
    parts = [F.one_hot(column, size) for column, size in zip(columns, classes, strict=True)]
    return torch.cat(parts, 1).to(dtype)


def indices(c: Tensor, classes: Classes) -> Tensor:
    """The likeliest class of each label, (N, sum(classes)) to (N, labels); the lowest on ties."""
    return torch.stack([part.argmax(1) for part in split(c, classes)], 1)


def classes_of(logits: Tensor, classes: Classes) -> Tensor:
    """The likeliest class of each label, (N,) of one label, (N, labels) of several."""
    found = indices(logits, classes)
    return found.squeeze(1) if len(classes) == 1 else found


def harden(p: Tensor, classes: Classes) -> Tensor:
    """One-hot vectors of the likeliest classes; no gradient (``argmax onehot`` in the thesis)."""
    return one_hot(indices(p, classes), classes, p.dtype)


def softmax(logits: Tensor, classes: Classes) -> Tensor:
    """Probabilities of each label's classes, (N, sum(classes))."""
    return torch.cat([part.softmax(1) for part in split(logits, classes)], 1)


def cross_entropy(logits: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """Cross-entropy of conditions c, hard or soft, (N,): the mean over labels, in nats."""
    logs = torch.cat([part.log_softmax(1) for part in split(logits, classes)], 1)
    return -(c * logs).sum(1) / len(classes)


def activations(score: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """What each label's condition selects of the scores, (N, labels)."""
    return torch.stack([part.sum(1) for part in split(score * c, classes)], 1)


class Activation(ABC):
    """Which scores of a conditional discriminator its adversarial loss is of (CAGAN).

    For one label both are the inner product a·c (thesis, Eq. 29-30).
    """

    @abstractmethod
    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        """Scores and conditions, both (N, sum(classes)), to (N, losses)."""


class PerLabel(Activation):
    """A loss for each label, of which the mean is taken.

    It is the sum over the conditional discriminators (Eq. 25-28), over the number of labels, and
    what the published codes of AEDLSGAN and the codebook do.
    """

    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        return activations(score, c, classes)


class Summed(Activation):
    """One loss, of the labels' activations in sum: Eq. 29-30 to the letter.

    A label that looks real can make up for one that does not.
    """

    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        return (score * c).sum(1, keepdim=True)


ActivationFactory: TypeAlias = Callable[[], Activation]
