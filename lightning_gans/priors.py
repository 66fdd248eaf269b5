"""Latent random variables: what a generator's input is drawn from.

A prior here has ``dim`` independent elements that share one one-dimensional distribution. Every
prior offers ``sample, log_prob, cdf, icdf, mean, variance, entropy`` and the pair ``scale`` and
``update``. For a fixed prior ``scale()`` is ones and ``update`` does nothing, so that no algorithm
has to ask which kind it was given.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Protocol, TypedDict

import torch
import torch.distributions as dist
from torch import Tensor, nn


class _Draw(TypedDict):
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

    def _draw(self, generator: torch.Generator | None) -> _Draw:
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


class Normal(Prior):
    """Elements from N(mean, std²).

    Args:
        dim: the number of elements.
        mean: of an element.
        std: standard deviation of an element, positive.
    """

    def __init__(self, dim: int, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__(dim)
        if std <= 0:
            raise ValueError(f"a standard deviation is positive, got std={std}")
        self._mean, self._std = float(mean), float(std)

    def _element(self, like: Tensor) -> dist.Normal:
        return dist.Normal(like.new_tensor(self._mean), like.new_tensor(self._std), False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self._mean + self._std * torch.randn(n, self.dim, **self._draw(generator))

    def log_density(self, z: Tensor) -> Tensor:
        value: Tensor = self._element(z).log_prob(z)
        return value

    def cdf(self, z: Tensor) -> Tensor:
        # not ½(1 + erf): that rounds the lower tail to zero beyond five deviations
        probability: Tensor = torch.special.ndtr((z - self._mean) / self._std)
        return probability

    def icdf(self, u: Tensor) -> Tensor:
        quantile: Tensor = self._mean + self._std * torch.special.ndtri(u)
        return quantile

    @property
    def mean(self) -> float:
        return self._mean

    @property
    def variance(self) -> float:
        return self._std**2

    @property
    def entropy(self) -> float:
        return float(self._element(torch.empty(0, dtype=torch.float64)).entropy())


class Uniform(Prior):
    """Elements from U(low, high).

    Args:
        dim: the number of elements.
        low: lower end.
        high: upper end, above ``low``.
    """

    def __init__(self, dim: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(dim)
        if low >= high:
            raise ValueError(f"expected low < high, got low={low}, high={high}")
        self.low, self.high = float(low), float(high)

    def _element(self, like: Tensor) -> dist.Uniform:
        return dist.Uniform(like.new_tensor(self.low), like.new_tensor(self.high), False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.icdf(torch.rand(n, self.dim, **self._draw(generator)))

    def log_density(self, z: Tensor) -> Tensor:
        value: Tensor = self._element(z).log_prob(z)
        return value

    def cdf(self, z: Tensor) -> Tensor:
        value: Tensor = self._element(z).cdf(z)
        return value

    def icdf(self, u: Tensor) -> Tensor:
        value: Tensor = self._element(u).icdf(u)
        return value

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> float:
        return (self.high - self.low) ** 2 / 12

    @property
    def entropy(self) -> float:
        return math.log(self.high - self.low)


class HalfUniformHalfNormal(Prior):
    """Elements that are, with equal chances, uniform on [-1, 0] or |N(0, 1)|.

    A skewed prior with one bounded and one unbounded side: a regulariser that only knows the
    normal distribution fails on it (the third prior of the latent recovery experiments).

    Args:
        dim: the number of elements.
    """

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        side = torch.rand(n, self.dim, **self._draw(generator))
        noise = torch.randn(n, self.dim, **self._draw(generator))
        # given that it is below a half, 2u - 1 is itself uniform on [-1, 0)
        return torch.where(side < 0.5, 2 * side - 1, noise.abs())

    def log_density(self, z: Tensor) -> Tensor:
        # half of the half-normal's density is the whole normal's
        positive = dist.Normal(z.new_zeros(()), z.new_ones(()), False).log_prob(z)
        # in the precision of z: a number alone would be rounded to float32
        negative = torch.full_like(z, -math.log(2.0)).masked_fill(z < -1, -math.inf)
        return torch.where(z > 0, positive, negative)

    def cdf(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, torch.special.ndtr(z), ((z + 1) / 2).clamp(min=0))

    def icdf(self, u: Tensor) -> Tensor:
        # the clamp keeps the branch that is not taken from an infinite gradient
        return torch.where(u > 0.5, torch.special.ndtri(u.clamp(min=0.5)), 2 * u - 1)

    @property
    def mean(self) -> float:
        return 0.5 * -0.5 + 0.5 * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> float:
        return 0.5 * (1 / 3) + 0.5 * 1 - self.mean**2

    @property
    def entropy(self) -> float:
        # of a fair mixture without overlap: log 2 and the halves' own, 0 and ½ log(πe/2)
        return math.log(2.0) + 0.5 * 0.5 * math.log(math.pi * math.e / 2)


class DynamicScale(Prior):
    """A prior whose elements are scaled by how well the encoder reads them (thesis, Eq. 31-32).

    The generator is given z∘s with s = √(d·v) / ‖√v‖₂, so that Σ s² = d, where v is a running
    second moment of the encoder's codes for fakes, v ← decay·v + (1 - decay)·mean(z'²). Elements
    that the generator ignores lose their scale, and the entropy of z∘s falls to what the generator
    can express. Draws, densities and moments are those of the unscaled z.

    v starts small and equal: then s = 1 at the first step and follows the encoder from the first
    updates on. Started at 1, s would stay near 1 for thousands of steps.

    Args:
        dim: the number of elements.
        base: the prior that is scaled; its mean must be 0, for only then is the second moment a
            variance.
        decay: of the running second moment, in [0, 1).
        start: first value of every element of v, positive.

    Attributes:
        v: (dim,), the running second moment. A buffer: saved in checkpoints, never averaged.

    Raises:
        ValueError: for a base whose mean is not 0, a decay or start out of range.
    """

    v: Tensor

    def __init__(
        self,
        dim: int,
        base: PriorFactory = Normal,
        decay: float = 0.999,
        start: float = 1e-4,
    ) -> None:
        super().__init__(dim)
        self.base = base(dim)
        if abs(self.base.mean) > 1e-6:
            raise ValueError(
                f"a dynamic scale needs a base prior of mean 0, got {type(self.base).__name__} "
                f"with mean {self.base.mean:.3g}"
            )
        if not 0 <= decay < 1 or start <= 0:
            raise ValueError(f"expected 0 <= decay < 1 and start > 0, got {decay} and {start}")
        self.decay = decay
        self.register_buffer("v", torch.full((dim,), float(start)))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.base.sample(n, generator)

    def log_density(self, z: Tensor) -> Tensor:
        return self.base.log_density(z)

    def cdf(self, z: Tensor) -> Tensor:
        return self.base.cdf(z)

    def icdf(self, u: Tensor) -> Tensor:
        return self.base.icdf(u)

    @property
    def mean(self) -> float:
        return self.base.mean

    @property
    def variance(self) -> float:
        return self.base.variance

    @property
    def entropy(self) -> float:
        return self.base.entropy

    def scale(self) -> Tensor:
        """The factor s of Eq. 32, (dim,); a later update of v does not change it."""
        return (self.dim * self.v / self.v.sum()).sqrt()

    @torch.no_grad()
    def update(self, recovered: Tensor) -> None:
        """One step of v's moving average over codes recovered from fakes, (n, dim).

        Call it once an iteration, with the codes of both turns: two calls would decay twice.
        The mean is over the codes of all processes, so that v is the same on each.
        """
        self._check(recovered)
        total = recovered.detach().to(self.v.dtype).square().sum(0)
        count = total.new_tensor([len(recovered)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            packed = torch.cat([total, count])
            torch.distributed.all_reduce(packed)
            total, count = packed[:-1], packed[-1:]
        self.v.lerp_(total / count, 1 - self.decay)
