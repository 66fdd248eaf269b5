"""Priors made of any distribution that torch offers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.distributions as dist
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors.fixed import Normal
from lightning_gans.priors.prior import Prior
from lightning_gans.priors.traced import Traced
from lightning_gans.ranges import Width, checked


class Independent(Prior):
    """Independent elements from a distribution of torch, e.g. ``Laplace(0.0, 1.0)``.

    Which functions a distribution has differs: without ``icdf`` it can neither be drawn from nor
    be compared with a code by a statistical distance, without ``cdf`` not be tested for.

    Args:
        dim: the number of elements.
        distribution: of one element, if its parameters are numbers; if they are of shape (dim,),
            each element has its own. Continuous, of scalars. It is not changed.

    Raises:
        InputError: for a discrete distribution, or one of vectors or of another number of
            elements. Later, by a function of the prior that the distribution does not have, or
            that has no one value because the elements differ.

    Example:
        >>> prior = Independent(2, dist.Laplace(0.0, 1.0))
        >>> round(prior.mean_difference, 4)
        1.5
    """

    @checked
    def __init__(self, dim: Width, distribution: dist.Distribution) -> None:
        super().__init__(dim)
        shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
        if distribution.event_shape or shape not in {(), (dim,)}:
            raise InputError(
                f"expected a distribution of a scalar, or of {dim} independent scalars, got "
                f"{type(distribution).__name__} of batch shape {tuple(distribution.batch_shape)} "
                f"and event shape {tuple(distribution.event_shape)}"
            )
        self.distribution = distribution
        self._name = type(distribution).__name__
        if _support(distribution).is_discrete:
            raise InputError(f"expected a continuous distribution, got {self._name}")

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        # Torch's own sampling takes no generator. In float64, for float32's uniform numbers are
        # multiples of 2⁻²⁴: coarse in the tails, and now and then a 0.
        u = torch.rand(
            (n, self.dim),
            generator=generator,
            device=self._anchor.device,
            dtype=torch.float64,
        )
        return self.icdf(u.clamp(min=2**-53)).to(self._anchor.dtype)

    def log_density(self, z: Tensor) -> Tensor:
        # not all distributions of torch end where their support does
        inside: Tensor = _support(_like(self.distribution, z)).check(z)
        log_density = self._ask("log_prob", z.clamp(*self._ends(z)))
        return log_density.masked_fill(~(inside | z.isnan()), -math.inf)

    def cdf(self, z: Tensor) -> Tensor:
        return self._ask("cdf", z.clamp(*self._ends(z)))

    def icdf(self, u: Tensor) -> Tensor:
        return self._ask("icdf", u)

    @property
    def mean(self) -> float:
        return self._one("mean", lambda: self.distribution.mean)

    @property
    def variance(self) -> float:
        return self._one("variance", lambda: self.distribution.variance)

    @property
    def entropy(self) -> float:
        return self._one("entropy", self.distribution.entropy)

    @property
    def identical(self) -> bool:
        return self.distribution.batch_shape.numel() == 1

    @property
    def support(self) -> tuple[float, float]:
        low, high = self._ends(torch.empty(0, dtype=torch.float64))
        return self._one("support", lambda: low), self._one("support", lambda: high)

    def quantile_integral(self, u: Tensor) -> Tensor:
        self._check_mean()
        return super().quantile_integral(u)

    @property
    def mean_difference(self) -> float:
        self._check_mean()
        return super().mean_difference

    def _check_mean(self) -> None:
        if not math.isfinite(self.mean):
            raise InputError(f"{self._name} has no finite mean, which a distance needs")

    def _ask(self, function: str, values: Tensor) -> Tensor:
        """The distribution's answer, in the values' precision and on their device."""
        if not self.identical and values.shape[-1:] != (self.dim,):
            raise InputError(
                f"the {self.dim} elements of this prior differ, expected (..., {self.dim}), got "
                f"{tuple(values.shape)}"
            )
        try:
            answer: Tensor = getattr(_like(self.distribution, values), function)(values)
        except NotImplementedError:
            raise self._missing(function) from None
        return answer

    def _missing(self, function: str) -> InputError:
        return InputError(
            f"torch's {self._name} has no {function}, which is needed here; choose a distribution "
            "that has one, such as Normal, Laplace or Uniform"
        )

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the support, as torch states it."""
        support = _support(self.distribution)
        low = torch.as_tensor(getattr(support, "lower_bound", -math.inf))
        high = torch.as_tensor(getattr(support, "upper_bound", math.inf))
        return low.to(like), high.to(like)

    def _one(self, what: str, value: Callable[[], Tensor]) -> float:
        if not self.identical:
            raise InputError(f"the elements of this prior differ, there is no one {what} of them")
        try:
            return float(value())
        except NotImplementedError:
            raise self._missing(what) from None


def normal_element(prior: Prior) -> tuple[float, float] | None:
    """Mean and standard deviation of one element if all are normal and alike, else None."""
    if isinstance(prior, Traced):
        return normal_element(prior.base)
    normal = isinstance(prior, Normal) or (
        isinstance(prior, Independent)
        and isinstance(prior.distribution, dist.Normal)
        and prior.identical
    )
    return (prior.mean, math.sqrt(prior.variance)) if normal else None


def _support(distribution: dist.Distribution) -> dist.constraints.Constraint:
    # torch leaves it out only of distributions that it cannot describe
    return distribution.support or dist.constraints.real


def _like(distribution: dist.Distribution, values: Tensor) -> dist.Distribution:
    """A copy for the values: in their precision, on their device.

    It answers outside its support too, where torch would raise.
    """
    copies: dict[int, object] = {}
    # a GPU takes its copies in order, but what arrives on the CPU must be complete
    later = values.device.type != "cpu"

    # not by the copy module, for which torch's transforms forget what they invert
    def like(part: object) -> object:
        if isinstance(part, Tensor):
            part = part.detach()
            dtype = values.dtype if part.is_floating_point() else part.dtype
            return part.to(values.device, dtype, non_blocking=later)
        if isinstance(part, list):
            return [like(each) for each in part]
        if not isinstance(part, dist.Distribution | dist.Transform):
            return part
        if id(part) not in copies:
            own = copies[id(part)] = object.__new__(type(part))
            vars(own).update({name: like(value) for name, value in vars(part).items()})
        return copies[id(part)]

    like(distribution)
    found = [copy for copy in copies.values() if isinstance(copy, dist.Distribution)]
    for each in found:
        each._validate_args = False
    return found[0]
