"""Priors that trace how well an encoder recovers each of their elements."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gans.distributed.collectives import start_global_mean
from lightning_gans.errors import InputError
from lightning_gans.priors.fixed import Normal
from lightning_gans.priors.prior import Prior, PriorFactory
from lightning_gans.ranges import Decay, PositiveFloat, Width, checked


class Traced(Prior, ABC):
    """A base prior and v, a running second moment of the codes recovered from fakes.

    v ← decay·v + (1 - decay)·mean(z'²), thesis, Eq. 31. Draws, densities and moments are those of
    the base.

    Args:
        dim: the number of elements.
        base: the prior that is traced; its mean must be 0, so that the second moment is a variance.
        decay: of the running second moment, in [0, 1).
        start: initial value of every element of v, positive.

    Attributes:
        v: (dim,), the running second moment. A buffer: saved in checkpoints, never averaged.

    Raises:
        ValueError: for a base whose mean is not 0, a decay or start out of range.
    """

    v: Tensor

    @checked
    def __init__(
        self,
        dim: Width,
        base: PriorFactory = Normal,
        decay: Decay = 0.999,
        start: PositiveFloat = 1e-4,
    ) -> None:
        super().__init__(dim)
        self.base = base(dim)
        if abs(self.base.mean) > 1e-6:
            raise ValueError(
                f"a traced variance needs a base prior of mean 0, got {type(self.base).__name__} "
                f"with mean {self.base.mean:.3g}"
            )
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

    @property
    def identical(self) -> bool:
        return self.base.identical

    @property
    def support(self) -> tuple[float, float]:
        return self.base.support

    def quantile_integral(self, u: Tensor) -> Tensor:
        return self.base.quantile_integral(u)

    def partial_mean(self, z: Tensor) -> Tensor:
        return self.base.partial_mean(z)

    @property
    def mean_difference(self) -> float:
        return self.base.mean_difference

    @property
    def is_normal(self) -> bool:
        """Whether the base is normal, which the likelihood of Eq. 37 and Eq. 38 assume."""
        return isinstance(self.base, Normal)

    @abstractmethod
    def scale(self) -> Tensor:
        """The factor on each element before the generator sees it, (dim,)."""

    @torch.no_grad()
    def start_update(self, recovered: Tensor) -> Callable[[], None]:
        """One step of v's moving average over codes recovered from fakes, (n, dim).

        Call it once per iteration, with the codes of both turns: two calls would decay twice.
        The mean is over the codes of all processes, so v is the same in each. The step is made
        once the result is called.
        """
        self._check(recovered)
        mean_square = start_global_mean(recovered.detach().to(self.v.dtype).square())

        @torch.no_grad()
        def finish() -> None:
            self.v.lerp_(mean_square(), 1 - self.decay)

        return finish

    def negative_log_likelihood(self, code: Tensor) -> Tensor:
        """-log N(code; mean, v), (n, dim) to (n,), in nats: AnoDLSGAN's score (thesis, Eq. 37).

        In closed form, with all constants; finite for codes at any distance, where the logarithm
        of a density that underflows is not.

        Raises:
            InputError: if the base is not normal; codes of its latents are not either.
        """
        if not self.is_normal:
            raise InputError(
                "expected a normal prior, for Eq. 37 is the likelihood of normal codes, got "
                f"{type(self).__name__} of {type(self.base).__name__}; score by the reconstruction"
            )
        self._check(code)
        # in the precision of the code: a float32 v would round the score of a float64 code
        v = self.v.to(code.dtype)
        return 0.5 * ((code - self.mean).square() / v + v.log() + math.log(2 * math.pi)).sum(1)


class DynamicScale(Traced):
    """A prior whose elements are scaled by how well they are recovered (thesis, Eq. 31-32).

    The generator is given z∘s with s = √(d·v) / ‖√v‖₂, so that Σ s² = d. Elements that the
    generator ignores lose their scale, and the entropy of z∘s falls to what the generator can
    express.

    v starts small and equal: s is then 1 at the first step and follows the encoder from the first
    updates on. If v started at 1, s would stay near 1 for thousands of steps. (The thesis leaves it
    open; the published codes use 1e-4 for DLSGAN and PVDGAN, and 1 for AnoDLSGAN.)

    Args:
        dim: the number of elements.
        base: the prior that is scaled; its mean must be 0.
        decay: of the running second moment, in [0, 1).
        start: initial value of every element of v, positive.
    """

    def scale(self) -> Tensor:
        """The factor s of Eq. 32, (dim,); a later update of v does not change it."""
        return (self.dim * self.v / self.v.sum()).sqrt()


class FixedScale(Traced):
    """A prior that is not scaled, with a traced v: for MSEGAN and InfoGAN.

    v takes no part in training; likelihood scores of codes need it.

    Args:
        dim: the number of elements.
        base: the prior that is traced; its mean must be 0.
        decay: of the running second moment, in [0, 1).
        start: initial value of every element of v, positive.
    """

    def scale(self) -> Tensor:
        """Ones, (dim,)."""
        return torch.ones_like(self.v)
