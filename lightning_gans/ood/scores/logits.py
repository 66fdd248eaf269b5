"""Scores by the logits of classes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.labels import split
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import ClassifiesByFeatures, PredictsLogits
from lightning_gans.ood.scores.inputs import at_least_float32, check_finite, check_rows
from lightning_gans.ood.scores.score import ForwardPasses, Score
from lightning_gans.ranges import ClosedUnitInterval, PositiveFloat, checked

# of the energy score and of ReAct (thesis, Tables 5 and 8)
TEMPERATURES = (1, 10)
PERCENTILES = (0.85, 0.9, 0.95, 1)


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-T log Σ exp(logit / T), (n, K) to (n,): a classifier's energy (Liu et al. 2020).

    Raises:
        InputError: for logits of another shape or non-finite, or a temperature not above 0.
    """
    logits = check_rows(logits, "logits")
    if not 0 < temperature < math.inf:
        raise InputError(f"expected a temperature above 0, got {temperature}")
    return -temperature * (logits / temperature).logsumexp(1)


def maximum_softmax(logits: Tensor) -> Tensor:
    """1 - the highest class probability, (n, K) to (n,) (Hendrycks and Gimpel 2017).

    Computed as the sum of the other probabilities: for a confident classifier, the difference from
    1 would be rounded to 0.

    Raises:
        InputError: for logits of another shape or non-finite.
    """
    logits = check_rows(logits, "logits")
    best = logits.max(1, keepdim=True)
    others = (logits - best.values).exp().scatter(1, best.indices, 0).sum(1)
    return others / (1 + others)


def react(features: Tensor, threshold: float) -> Tensor:
    """Features clipped from above, any shape: what ReAct gives the last layer (Sun et al. 2021).

    Raises:
        InputError: for a threshold that is NaN.
    """
    if math.isnan(threshold):
        raise InputError("expected a number as the threshold of ReAct, got NaN")
    return features.clamp(max=float(threshold))


def react_threshold(features: Tensor, percentile: float = 0.9) -> float:
    """The percentile of all features, interpolated, at which ReAct clips (Sun et al. 2021).

    Take features of training images; the thesis's experiments took those of ID test images, which
    are not available when a detector is set up. At 1 it clips at the highest feature seen, which
    is not the same as not clipping: features of OOD images may be higher.

    Args:
        features: any shape; all elements count alike.
        percentile: as a share, in [0, 1].

    Raises:
        InputError: if there are no features, if they are non-finite, or for a share out of range.
    """
    if not 0 <= percentile <= 1:
        raise InputError(f"expected a percentile as a share in [0, 1], as 0.9, got {percentile}")
    check_finite(features, "features")
    if not features.numel():
        raise InputError("expected features to find a threshold among, got none")
    # torch.quantile of older releases takes no more than 2²⁴ elements
    return float(np.quantile(at_least_float32(features.detach()).cpu().numpy(), percentile))


class MaximumSoftmax(Score):
    """``softmax``: :func:`maximum_softmax`, averaged over labels."""

    name = "softmax"

    def applies_to(self, model: Model) -> bool:
        return isinstance(model, PredictsLogits)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        labels = split(passes.logits, passes.classes)
        return torch.stack([maximum_softmax(label) for label in labels]).mean(0)


class Energy(Score):
    """``energy(t=T)``: :func:`energy` of the classes of a label, or of several binary attributes.

    Several binary attributes have one logit each, that of having it minus that of not having it:
    the energy is that of these logits, as in the thesis's code for faces. Several labels of which
    some have more classes have an energy each, and these are added.

    Args:
        temperature: T.
    """

    @checked
    def __init__(self, temperature: PositiveFloat) -> None:
        self.temperature = temperature

    @property
    def name(self) -> str:
        return f"energy(t={self.temperature})"

    def applies_to(self, model: Model) -> bool:
        return isinstance(model, PredictsLogits)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        return _total_energy(passes, passes.logits, self.temperature)


class ReActEnergy(Score):
    """``energy(t=T,p=P)``: the energy of logits of features that :func:`react` clips.

    Args:
        temperature: T.
        percentile: P, of the features of training images, as a share.
    """

    @checked
    def __init__(self, temperature: PositiveFloat, percentile: ClosedUnitInterval) -> None:
        self.temperature, self._percentile = temperature, percentile

    @property
    def name(self) -> str:
        return f"energy(t={self.temperature},p={self._percentile})"

    @property
    def percentile(self) -> float:
        return self._percentile

    def applies_to(self, model: Model) -> bool:
        return isinstance(model, ClassifiesByFeatures)

    def __call__(self, passes: ForwardPasses) -> Tensor:
        if self._percentile not in passes.thresholds:
            raise InputError(
                f"{self.name} clips features at a percentile of those of training images; give "
                "these to fit() first"
            )
        clipped = react(passes.features, passes.thresholds[self._percentile])
        return _total_energy(passes, passes.logits_of(clipped), self.temperature)


def _total_energy(passes: ForwardPasses, logits: Tensor, temperature: float) -> Tensor:
    labels = split(logits, passes.classes)
    if len(labels) > 1 and set(passes.classes) == {2}:
        # of two classes, the second is to have the attribute
        return energy(torch.stack([label[:, 1] - label[:, 0] for label in labels], 1), temperature)
    return torch.stack([energy(label, temperature) for label in labels]).sum(0)


SCORES: tuple[Score, ...] = (
    MaximumSoftmax(),
    *(Energy(t) for t in TEMPERATURES),
    *(ReActEnergy(t, p) for t in TEMPERATURES for p in PERCENTILES),
)
