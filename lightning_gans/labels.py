"""Labels as concatenated one-hot vectors: pure functions.

``classes`` is the number of classes of each label: (10,) for digits; (2, 2, 2) for three binary
attributes, which have two classes each (thesis, section 3.1); (3, 2, 2) for hair, smile and bangs.
A condition c is (N, sum(classes)) with a 1 for each label; scores and logits have the same width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_gans.errors import InputError

Classes: TypeAlias = tuple[int, ...]


def split(values: Tensor, classes: Classes) -> tuple[Tensor, ...]:
    """Split by label: (..., sum(classes)) to (..., k) for each k in classes."""
    return torch.split(values, list(classes), -1)


def is_one(values: Tensor, classes: Classes) -> bool:
    """Whether there is one label, so that its values need not be cut out and joined again.

    These operations would be differentiated, too, and a step of small networks has few others.
    """
    return len(classes) == 1 and values.shape[-1] == classes[0]


def check_labels(y: Tensor, classes: Classes) -> None:
    """Raise an InputError unless y is (N,) for one label or (N, labels), all in range."""
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        given = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise InputError(f"expected class indices as a tensor of integers, got {given}")
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


def one_hot(
    y: Tensor, classes: Classes, dtype: torch.dtype = torch.float32, check: bool = True
) -> Tensor:
    """Class indices, (N,) for one label or (N, labels), to conditions (N, sum(classes)).

    Args:
        y: class indices.
        classes: how many classes each label has.
        dtype: of the conditions.
        check: whether to check the indices, which waits for a GPU; False where they are known to
            be in range.

    Raises:
        InputError: for another number of labels, or an index out of range.
    """
    if check:
        check_labels(y, classes)
    columns = (y[:, None] if y.ndim == 1 else y).long()
    if len(classes) > 1:
        starts = (sum(classes[:i]) for i in range(len(classes)))
        columns = torch.stack(
            [column + start for column, start in zip(columns.unbind(1), starts, strict=True)], 1
        )
    c = torch.zeros(len(columns), sum(classes), dtype=dtype, device=columns.device)
    return c.scatter_(1, columns, 1.0)


def indices(c: Tensor, classes: Classes) -> Tensor:
    """The most likely class of each label, (N, sum(classes)) to (N, labels); the lowest of ties."""
    if is_one(c, classes):
        return c.argmax(1, keepdim=True)
    return torch.stack([part.argmax(1) for part in split(c, classes)], 1)


def classes_of(logits: Tensor, classes: Classes) -> Tensor:
    """The most likely class of each label: (N,) for one label, (N, labels) for several."""
    found = indices(logits, classes)
    return found.squeeze(1) if len(classes) == 1 else found


def harden(p: Tensor, classes: Classes) -> Tensor:
    """One-hot vectors of the most likely classes; no gradient (``argmax onehot`` in the thesis)."""
    return one_hot(indices(p, classes), classes, p.dtype, check=False)


def softmax(logits: Tensor, classes: Classes) -> Tensor:
    """Probabilities of each label's classes, (N, sum(classes))."""
    if is_one(logits, classes):
        return logits.softmax(1)
    return torch.cat([part.softmax(1) for part in split(logits, classes)], 1)


def cross_entropy(logits: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """Cross-entropy with conditions c, hard or soft, to (N,): the mean over labels, in nats."""
    if is_one(logits, classes):
        return -(c * logits.log_softmax(1)).sum(1)
    logs = torch.cat([part.log_softmax(1) for part in split(logits, classes)], 1)
    return -(c * logs).sum(1) / len(classes)


def activations(score: Tensor, c: Tensor, classes: Classes) -> Tensor:
    """The score that the condition selects for each label, (N, labels)."""
    if is_one(score, classes):
        return (score * c).sum(1, keepdim=True)
    return torch.stack([part.sum(1) for part in split(score * c, classes)], 1)


def mean_over_labels(values: Tensor) -> Tensor:
    """Means (N,) of what each label has, (N, labels)."""
    return values.squeeze(1) if values.shape[1] == 1 else values.mean(1)


class Activation(ABC):
    """Abstract: the scores of a conditional discriminator that enter its adversarial loss (CAGAN).

    For one label both subclasses are the inner product a·c (thesis, Eq. 29-30).
    """

    @abstractmethod
    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        """Scores and conditions, both (N, sum(classes)), to (N, losses)."""


class PerLabel(Activation):
    """One loss per label, averaged over labels.

    This is the sum over the conditional discriminators (thesis, Eq. 25-28) divided by the number
    of labels, as in the published code of AEDLSGAN and of the codebook.
    """

    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        return activations(score, c, classes)


class Summed(Activation):
    """One loss of the sum over labels, exactly as in (thesis, Eq. 29-30).

    A label that looks real can compensate for one that does not.
    """

    def __call__(self, score: Tensor, c: Tensor, classes: Classes) -> Tensor:
        return (score * c).sum(1, keepdim=True)


ActivationFactory: TypeAlias = Callable[[], Activation]
