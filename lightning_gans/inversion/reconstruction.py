"""Reconstruction losses: distance of generated images from their targets, one value per image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import huber_loss

from lightning_gans.ranges import PositiveFloat, checked

__all__ = [
    "L1",
    "L2",
    "FeatureDistance",
    "Huber",
    "Reconstruction",
]


class Reconstruction(ABC):
    """Abstract: the loss that the descent minimises, apart from the regulariser."""

    def networks(self) -> list[nn.Module]:
        """Networks that it calls; recovery freezes them and runs them in evaluation mode."""
        return []

    @abstractmethod
    def distance(self, y: Tensor, x: Tensor) -> Tensor:
        """Distance of each generated image y from its target x, both (n, *shape), to (n,)."""


class L1(Reconstruction):
    """Mean absolute difference of pixels; the default, as in (Cho 2021)."""

    def distance(self, y: Tensor, x: Tensor) -> Tensor:
        return (y - x).abs().flatten(1).mean(1)


class L2(Reconstruction):
    """Mean squared difference of pixels."""

    def distance(self, y: Tensor, x: Tensor) -> Tensor:
        return (y - x).square().flatten(1).mean(1)


class Huber(Reconstruction):
    """Mean Huber loss of pixels: ½d² for differences up to ``delta``, linear beyond.

    Args:
        delta: difference at which it becomes linear, positive; pixels lie in [-1, 1].
    """

    @checked
    def __init__(self, delta: PositiveFloat = 0.1) -> None:
        self.delta = delta

    def distance(self, y: Tensor, x: Tensor) -> Tensor:
        return huber_loss(y, x, reduction="none", delta=self.delta).flatten(1).mean(1)


class FeatureDistance(Reconstruction):
    """Mean squared difference of features, e.g. those of a discriminator or a classifier.

    Args:
        features: images (n, *shape) to features (n, ...), differentiable.
    """

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        self.features = features

    def networks(self) -> list[nn.Module]:
        return [self.features] if isinstance(self.features, nn.Module) else []

    def distance(self, y: Tensor, x: Tensor) -> Tensor:
        return (self.features(y) - self.features(x)).square().flatten(1).mean(1)
