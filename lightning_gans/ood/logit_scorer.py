"""Scores by the logits of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.inversion.frozen import frozen
from lightning_gans.labels import Classes, split
from lightning_gans.models import Classifier
from lightning_gans.ood.scorer import Scorer, Ways
from lightning_gans.ood.scores import energy, maximum_softmax, react, react_threshold
from lightning_gans.validation import check_images

# of the energy score and of ReAct, as in the thesis's Tables 5 and 8
TEMPERATURES = (1, 10)
PERCENTILES = (0.85, 0.9, 0.95, 1)

_PLAIN = {f"energy(t={t})": t for t in TEMPERATURES}
_REACT = {f"energy(t={t},p={p})": (t, p) for t in TEMPERATURES for p in PERCENTILES}


class LogitScorer(Scorer):
    """Of models that tell classes or categories: ``softmax``, and ``energy(t=T)`` at T = 1 and 10.

    Of several labels, energies are added (Wang et al. 2021) and softmax scores averaged.
    """

    @property
    def offered(self) -> tuple[str, ...]:
        return ("softmax", *_PLAIN)

    @property
    def standard(self) -> tuple[str, ...]:
        return self.offered

    def _look(self, x: Tensor) -> Ways:
        return plain_ways(self.model.read_classes(x), self.model.classes)


class ClassifierScorer(Scorer):
    """Of classifiers: also ``energy(t=T,p=P)``, with ReAct at the percentile P of the features.

    ``fit`` finds the thresholds that P means among the features of training images (Sun et al.
    2021; the thesis takes ID test images). Before it, those scores are not among ``names`` unless
    they were asked for.
    """

    learns = True
    model: Classifier

    def __init__(self, model: Classifier, names: Sequence[str] | None = None) -> None:
        super().__init__(model, names)
        self.thresholds: dict[float, float] = {}

    @property
    def offered(self) -> tuple[str, ...]:
        return ("softmax", *_PLAIN, *_REACT)

    @property
    def standard(self) -> tuple[str, ...]:
        return self.offered if self.thresholds else ("softmax", *_PLAIN)

    def fit(self, training: Iterable[Tensor]) -> None:
        """Find the thresholds of ReAct among the features of training images.

        Args:
            training: batches (n, *image_shape) in [-1, 1]; a few thousand images are enough.

        Raises:
            InputError: if there are none, or they are no such images.
        """
        found = []
        with frozen(self.model), torch.no_grad():
            for x in training:
                check_images(x, self.model.image_shape, "training images")
                found.append(self.model.activations(x.to(self.model.device)).cpu())
        if not found:
            raise InputError("expected training images to find the thresholds of ReAct, got none")
        features = torch.cat(found)
        self.thresholds = {p: react_threshold(features, p) for p in PERCENTILES}

    def _look(self, x: Tensor) -> Ways:
        features = self.model.activations(x)
        classes = self.model.classes

        def with_react(t: float, p: float) -> Tensor:
            if not self.thresholds:
                raise InputError(
                    f"energy(t={t},p={p}) clips features at what those of training images reach; "
                    "give these to fit() first"
                )
            return energies(self.model.head(react(features, self.thresholds[p])), classes, t)

        clipped = {name: lambda t=t, p=p: with_react(t, p) for name, (t, p) in _REACT.items()}
        return {**plain_ways(self.model.head(features), classes), **clipped}


def plain_ways(logits: Tensor, classes: Classes) -> Ways:
    """The scores of logits (n, sum(classes))."""
    plain = {name: lambda t=t: energies(logits, classes, t) for name, t in _PLAIN.items()}
    return {"softmax": lambda: softmax(logits, classes), **plain}


def energies(logits: Tensor, classes: Classes, temperature: float) -> Tensor:
    """The energy, added over labels, (n, sum(classes)) to (n,)."""
    return torch.stack([energy(part, temperature) for part in split(logits, classes)]).sum(0)


def softmax(logits: Tensor, classes: Classes) -> Tensor:
    """1 - the highest probability, averaged over labels, (n, sum(classes)) to (n,)."""
    return torch.stack([maximum_softmax(part) for part in split(logits, classes)]).mean(0)
