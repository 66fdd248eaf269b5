"""Latent random variables: what a generator's input is drawn from.

A prior here has ``dim`` independent elements that share one one-dimensional distribution. Every
prior offers ``sample, log_prob, cdf, icdf, mean, variance, entropy`` and the pair ``scale`` and
``update``. For a fixed prior ``scale()`` is ones and ``update`` does nothing, so that no algorithm
has to ask which kind it was given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, TypedDict

import torch
from torch import Tensor, nn


class Draw(TypedDict):
    """What torch's sampling functions take by name."""

    generator: torch.Generator | None
    device: torch.device
    dtype: torch.dtype


class Prior(nn.Module, ABC):
    """``dim`` independent, identically distributed elements.

    It is a module so that it moves with the model it belongs to; it has no parameters.

    Args:
        dim: the number of elements, at least 1.

    Raises:
        ValueError: if ``dim`` is less than 1.
    """

    _anchor: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"a prior needs at least 1 element, got dim={dim}")
        self.dim = dim
        # knows the device and precision in which to draw
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` latents, (n, dim), from ``generator`` or else torch's global stream."""

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """Log density of each element on its own, any shape to the same shape, in nats."""

    @abstractmethod
    def cdf(self, z: Tensor) -> Tensor:
        """Probability that an element is at most ``z``; any shape."""

    @abstractmethod
    def icdf(self, u: Tensor) -> Tensor:
        """Quantile: the inverse of :meth:`cdf`, for ``u`` in [0, 1]; any shape."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """Mean of one element."""

    @property
    @abstractmethod
    def variance(self) -> float:
        """Variance of one element."""

    @property
    @abstractmethod
    def entropy(self) -> float:
        """Differential entropy of one element, in nats."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of whole latents, (n, dim) to (n,), in nats."""
        self._check(z)
        return self.log_density(z).sum(-1)

    def scale(self) -> Tensor:
        """The factor on each element before the generator sees it, (dim,): ones."""
        return self._anchor.new_ones(self.dim)

    def update(self, recovered: Tensor) -> None:
        """Learn from recovered codes (n, dim): nothing, for a fixed prior."""

    def _draw(self, generator: torch.Generator | None) -> Draw:
        return {
            "generator": generator,
            "device": self._anchor.device,
            "dtype": self._anchor.dtype,
        }

    def _check(self, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != self.dim:
            raise ValueError(f"expected latents of shape (n, {self.dim}), got {tuple(z.shape)}")


class PriorFactory(Protocol):
    """Makes a prior of ``dim`` elements; what a model's ``prior`` argument is."""

    def __call__(self, dim: int) -> Prior:
        """Make the prior."""
        ...
