"""Priors without a state."""

from __future__ import annotations

import math

import torch
import torch.distributions as dist
from torch import Tensor

from lightning_gans.priors.prior import Prior
from lightning_gans.ranges import PositiveFloat, Width, checked

ROOT_OF_2_PI = math.sqrt(2 * math.pi)


class Normal(Prior):
    """Elements from N(mean, std²).

    Args:
        dim: the number of elements.
        mean: of an element.
        std: standard deviation of an element, positive.
    """

    @checked
    def __init__(self, dim: Width, mean: float = 0.0, std: PositiveFloat = 1.0) -> None:
        super().__init__(dim)
        self._mean, self._std = float(mean), float(std)

    def _element(self, like: Tensor) -> dist.Normal:
        # filled on its device: a copy from the CPU would wait for a GPU
        return dist.Normal(like.new_full((), self._mean), like.new_full((), self._std), False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        z = torch.randn(n, self.dim, **self._draw(generator))
        return z if (self._mean, self._std) == (0, 1) else self._mean + self._std * z

    def _standardized(self, z: Tensor) -> Tensor:
        return z if (self._mean, self._std) == (0, 1) else (z - self._mean) / self._std

    def log_density(self, z: Tensor) -> Tensor:
        value: Tensor = self._element(z).log_prob(z)
        return value

    def cdf(self, z: Tensor) -> Tensor:
        # not ½(1 + erf), which rounds the lower tail to zero beyond five standard deviations
        probability: Tensor = torch.special.ndtr(self._standardized(z))
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

    @property
    def support(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def quantile_integral(self, u: Tensor) -> Tensor:
        return self._mean * u - self._std * _density_at_quantile(u)

    def partial_mean(self, z: Tensor) -> Tensor:
        # without the quantile of a probability, which takes most of the time, and in place: with
        # many codes the time is that of memory
        z = z.detach()
        value = self._standardized(z).square().mul_(-0.5).exp_().mul_(-self._std / ROOT_OF_2_PI)
        return value if self._mean == 0 else value.add_(self.cdf(z), alpha=self._mean)

    @property
    def mean_difference(self) -> float:
        # A - A' is N(0, 2 std²)
        return 2 * self._std / math.sqrt(math.pi)


class Uniform(Prior):
    """Elements from U(low, high).

    Args:
        dim: the number of elements.
        low: lower end.
        high: upper end, above ``low``.
    """

    @checked
    def __init__(self, dim: Width, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(dim)
        if low >= high:
            raise ValueError(f"expected low < high, got low={low}, high={high}")
        self.low, self.high = float(low), float(high)

    def _element(self, like: Tensor) -> dist.Uniform:
        # filled on its device: a copy from the CPU would wait for a GPU, with each draw
        return dist.Uniform(like.new_full((), self.low), like.new_full((), self.high), False)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.icdf(torch.rand(n, self.dim, **self._draw(generator)))

    def log_density(self, z: Tensor) -> Tensor:
        # both ends belong to it, unlike torch's: a draw just below the upper end is rounded to it
        inside = torch.full_like(z, -math.log(self.high - self.low))
        density = inside.masked_fill((z < self.low) | (z > self.high), -math.inf)
        return torch.where(z.isnan(), z, density)

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

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def quantile_integral(self, u: Tensor) -> Tensor:
        return u * (self.low + (self.high - self.low) / 2 * u)

    @property
    def mean_difference(self) -> float:
        return (self.high - self.low) / 3


class HalfUniformHalfNormal(Prior):
    """Elements that are uniform on [-1, 0] or |N(0, 1)|, with equal probability.

    A skewed prior with one bounded and one unbounded side: a regulariser that only knows the
    normal distribution fails on it (the third prior of the latent recovery experiments).

    Args:
        dim: the number of elements.
    """

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        side = torch.rand(n, self.dim, **self._draw(generator))
        noise = torch.randn(n, self.dim, **self._draw(generator))
        # given u < 1/2, 2u - 1 is uniform on [-1, 0)
        return torch.where(side < 0.5, 2 * side - 1, noise.abs())

    def log_density(self, z: Tensor) -> Tensor:
        # half of the half-normal density is the normal density
        positive = dist.Normal(z.new_zeros(()), z.new_ones(()), False).log_prob(z)
        # in the precision of z: a Python number would be rounded to float32
        negative = torch.full_like(z, -math.log(2.0)).masked_fill(z < -1, -math.inf)
        return torch.where((z > 0) | z.isnan(), positive, negative)

    def cdf(self, z: Tensor) -> Tensor:
        return torch.where(z > 0, torch.special.ndtr(z), ((z + 1) / 2).clamp(min=0))

    def icdf(self, u: Tensor) -> Tensor:
        # the clamp avoids an infinite gradient of the branch that is not taken
        return torch.where(u > 0.5, torch.special.ndtri(u.clamp(min=0.5)), 2 * u - 1)

    @property
    def mean(self) -> float:
        return 0.5 * -0.5 + 0.5 * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> float:
        return 0.5 * (1 / 3) + 0.5 * 1 - self.mean**2

    @property
    def entropy(self) -> float:
        # an equal mixture without overlap: log 2 and the mean of the halves' 0 and ½ log(πe/2)
        return math.log(2.0) + 0.5 * 0.5 * math.log(math.pi * math.e / 2)

    @property
    def support(self) -> tuple[float, float]:
        return -1.0, math.inf

    def quantile_integral(self, u: Tensor) -> Tensor:
        upper = 1 / math.sqrt(2 * math.pi) - 0.25 - _density_at_quantile(u)
        return torch.where(u > 0.5, upper, u * u - u)

    @property
    def mean_difference(self) -> float:
        # Both negative, probability 1/4: 1/3. Of different signs, 1/2: the sum of absolute values.
        # Both positive, 1/4: ||Z| - |Z'|| = min(|Z - Z'|, |Z + Z'|), in polar coordinates
        # 2 r min(|cos|, |sin|) over the square root of 2, of mean (4 - 2√2)/√π.
        negative = 1 / 3
        positive = (4 - 2 * math.sqrt(2)) / math.sqrt(math.pi)
        either = 1 / 2 + math.sqrt(2 / math.pi)
        return negative / 4 + positive / 4 + either / 2


def _density_at_quantile(u: Tensor) -> Tensor:
    """φ(Φ⁻¹(u)), which is 0 at both ends."""
    density: Tensor = torch.special.ndtri(u).square().mul(-0.5).exp() / math.sqrt(2 * math.pi)
    return density
