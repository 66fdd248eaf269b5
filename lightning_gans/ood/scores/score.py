"""What an OOD score is: a function of what a model's networks make of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from lightning_gans.labels import Classes
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import (
    ClassifiesByFeatures,
    Encodes,
    Encoding,
    PredictsLogits,
    Reconstructs,
)
from lightning_gans.priors import Prior


class ForwardPasses:
    """The outputs of a model's networks for one batch; each is computed once, when first used.

    An attribute that the model has no capability for must not be used:
    :meth:`Score.applies_to` has checked that.

    Args:
        model: in evaluation mode.
        x: checked images, (n, *image_shape), in [-1, 1].
        thresholds: at which ReAct clips features, by percentile; empty before ``Scorer.fit``.
    """

    def __init__(self, model: Model, x: Tensor, thresholds: Mapping[float, float]) -> None:
        self.model, self.x, self.thresholds = model, x, thresholds

    @property
    def prior(self) -> Prior:
        """The prior of the model's latent."""
        assert isinstance(self.model, Reconstructs)
        return self.model.prior

    @cached_property
    def encoding(self) -> Encoding:
        """The encoder's output for the images."""
        assert isinstance(self.model, Encodes)
        return self.model.encoding(self.x)

    @cached_property
    def reconstruction(self) -> Tensor:
        """The images decoded from their codes, (n, *image_shape), not clipped."""
        assert isinstance(self.model, Reconstructs)
        y: Tensor = self.model.generator(self.encoding.code * self.model.prior.scale())
        return y

    @cached_property
    def reencoding(self) -> Encoding:
        """The encoder's output for the reconstructions."""
        assert isinstance(self.model, Encodes)
        return self.model.encoding(self.reconstruction)

    @property
    def classes(self) -> Classes:
        """How many classes each label has."""
        assert isinstance(self.model, PredictsLogits)
        return self.model.classes

    @cached_property
    def features(self) -> Tensor:
        """What a classifier's last layer is given, (n, num_features), not negative."""
        assert isinstance(self.model, ClassifiesByFeatures)
        return self.model.activations(self.x)

    @cached_property
    def logits(self) -> Tensor:
        """Logits of all classes, (n, sum(classes))."""
        if isinstance(self.model, ClassifiesByFeatures):
            return self.logits_of(self.features)
        assert isinstance(self.model, PredictsLogits)
        return self.model.class_logits(self.x)

    def logits_of(self, features: Tensor) -> Tensor:
        """Logits (n, sum(classes)) of a classifier's features (n, num_features)."""
        assert isinstance(self.model, ClassifiesByFeatures)
        logits: Tensor = self.model.head(features)
        return logits


class Score(ABC):
    """An OOD score of single images: the higher, the more anomalous.

    To add one, write a final class in a module of this package and list an instance in that
    module's ``SCORES``.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name by which it is asked for, such as ``nll``."""

    @property
    def by_default(self) -> bool:
        """Whether it is given when none is asked for; False if it costs an extra pass."""
        return True

    @property
    def needs_traced_variance(self) -> bool:
        """Whether it compares codes with the variance that the model's prior traced in training."""
        return False

    @property
    def percentile(self) -> float | None:
        """The percentile of a classifier's training features that it needs, if any."""
        return None

    @abstractmethod
    def applies_to(self, model: Model) -> bool:
        """Whether the model has what the score needs."""

    @abstractmethod
    def __call__(self, passes: ForwardPasses) -> Tensor:
        """The scores (n,) of a batch, without gradients.

        Raises:
            InputError: if a network returns non-finite values.
        """
