"""Continuous latent random variables, from which the input of a generator is drawn.

A prior has ``dim`` independent elements that usually share one one-dimensional distribution, with
quantile function Q. Every prior has ``sample, log_prob, cdf, icdf, mean, variance, entropy``; the
terms of distances, ``quantile_integral`` and ``mean_difference`` (by default integrals of
``icdf``); and ``scale`` and ``start_update``. For a fixed prior ``scale()`` is ones and an update
does nothing, so algorithms need not distinguish the two kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypedDict

import torch
from torch import Tensor, nn

from lightning_gans.priors.quadrature import integral, integral_to
from lightning_gans.ranges import Width, checked


class Draw(TypedDict):
    """Keyword arguments of torch's sampling functions."""

    generator: torch.Generator | None
    device: torch.device
    dtype: torch.dtype


class Prior(nn.Module, ABC):
    """``dim`` independent, identically distributed elements.

    It is a module, so that it moves with its model; it has no parameters.

    Args:
        dim: the number of elements, at least 1.

    Raises:
        ValueError: if ``dim`` is less than 1.
    """

    _anchor: Tensor

    @checked
    def __init__(self, dim: Width) -> None:
        super().__init__()
        self.dim = dim
        # carries the device and precision of draws
        self.register_buffer("_anchor", torch.empty(0), persistent=False)

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n`` latents, (n, dim), from ``generator`` by default torch's global stream."""

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """Log density of each element, any shape to the same shape, in nats."""

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

    @property
    def identical(self) -> bool:
        """Whether all elements share one distribution."""
        return True

    @property
    def support(self) -> tuple[float, float]:
        """Lower and upper bound of an element; infinite if there is none."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=self._anchor.device)
        low, high = self.icdf(ends).tolist()
        return low, high

    def quantile_integral(self, u: Tensor) -> Tensor:
        """J(u), the integral of Q from 0 to ``u`` in [0, 1]; any shape. J(1) is the mean.

        Not differentiable. Without a closed form it is integrated in float64, to about 1e-6
        standard deviations if Q is continuous.
        """
        return integral_to(u.detach(), self.icdf).to(u.dtype)

    def partial_mean(self, z: Tensor) -> Tensor:
        """J(F(z)), the part of the mean that elements of at most ``z`` give; any shape.

        Not differentiable.
        """
        return self.quantile_integral(self.cdf(z))

    @property
    def mean_difference(self) -> float:
        """E|A - A'| of two independent elements (Gini's mean difference).

        Without a closed form it is integrated, like :meth:`quantile_integral`.
        """
        # the larger of two elements is Q(u) with density 2u, the smaller with density 2(1 - u)
        return integral(lambda u: (4 * u - 2) * self.icdf(u), self._anchor.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density of whole latents, (n, dim) to (n,), in nats."""
        self._check(z)
        return self.log_density(z).sum(-1)

    def scale(self) -> Tensor:
        """The factor on each element before the generator sees it, (dim,): ones."""
        return self._anchor.new_ones(self.dim)

    def start_update(self, recovered: Tensor) -> Callable[[], None]:
        """Update the state from recovered codes, (n, dim), once the result is called.

        Several processes exchange in between what the update needs, while a player computes its
        gradients. A fixed prior has no state.
        """
        return lambda: None

    def update(self, recovered: Tensor) -> None:
        """Update the state from recovered codes, (n, dim)."""
        self.start_update(recovered)()

    @property
    def device(self) -> torch.device:
        """The device of draws."""
        return self._anchor.device

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
