"""Constraints on codes: what is done to them after each step of a descent.

A resampling draws single elements anew where the prior makes them unlikely; a projection moves
codes back to where the prior's draws lie.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors import Prior, normal_element


class Constraint(ABC):
    """Changes codes after a step, outside the gradient."""

    @abstractmethod
    def check(self, prior: Prior) -> None:
        """Raise an InputError if this constraint has no meaning under the prior."""

    @abstractmethod
    def apply(
        self, z: Tensor, prior: Prior, steps: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Codes after a step to codes that the next step starts from.

        Args:
            z: codes (n, L); they stay as they are.
            prior: of the codes.
            steps: the number of steps of the whole descent, at least 1.
            random: what is drawn from, on the codes' device.

        Returns:
            New codes (n, L), and a bool mask (n, L) of the elements that were drawn anew.
        """


class Resampling(Constraint, ABC):
    """Abstract: each element is, with a probability of its own, drawn anew from the prior.

    Args:
        per_step: whether the probability P is that of a whole descent: each of its E steps then
            draws anew with 1 - (1 - P)^(1/E), and P = 1 always (Egan et al. 2018, section 3.2).
            Otherwise each step takes P itself, as in the experiments of Cho 2021 (latent
            regulation), which hardly leaves an element alone over hundreds of steps.
    """

    def __init__(self, per_step: bool = True) -> None:
        self.per_step = per_step

    @abstractmethod
    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        """P of each element of codes (n, L), to (n, L), in [0, 1]."""

    @torch.no_grad()
    def apply(
        self, z: Tensor, prior: Prior, steps: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        # always a whole sample, so that the stream does not depend on what is replaced
        fresh = prior.sample(len(z), random).to(z)
        # in float32 the least threshold above 0 is 6e-8, more than P/E often is
        threshold = torch.rand(z.shape, generator=random, dtype=torch.float64, device=z.device)
        p = self.probability(z.double(), prior)
        if self.per_step:
            # 1 - (1 - P)^(1/E), exact for small P too
            p = -torch.expm1(torch.log1p(-p) / steps)
        drawn = threshold < p
        return torch.where(drawn, fresh, z), drawn


class BoundaryResampling(Resampling):
    """Elements outside the prior's support are drawn anew, always (P is 0 or 1).

    The same rule as the stochastic clipping of Lipton & Tripathi 2017, who gave it for a uniform
    prior; any prior with at least one finite bound will do.
    """

    def __init__(self) -> None:
        super().__init__()

    def check(self, prior: Prior) -> None:
        low, high = prior.support
        if math.isinf(low) and math.isinf(high):
            raise InputError(
                "BoundaryResampling needs a prior with a finite bound, the support of this one, "
                f"{type(prior).__name__}, has none; use LogisticCutoff or TruncatedNormalCutoff"
            )

    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        low, high = prior.support
        return ((z < low) | (z > high)).to(z.dtype)


class Cutoff(Resampling, ABC):
    """Abstract: P depends on t = (z - mean) / std alone, under a normal prior (Egan et al. 2018).

    Args:
        per_step: see :class:`Resampling`.
    """

    def check(self, prior: Prior) -> None:
        standardized(torch.empty(0), prior, self)

    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        return self.of_deviation(standardized(z, prior, self))

    @abstractmethod
    def of_deviation(self, t: Tensor) -> Tensor:
        """P of elements that lie t standard deviations from the mean; any shape."""


class HardCutoff(Cutoff):
    """Elements with |t| > cutoff are drawn anew, always (P is 0 or 1).

    Egan et al. 2018, section 3.2.1, whose formula prints < by mistake; its text says >.

    Args:
        cutoff: in standard deviations of the prior, positive.

    Raises:
        ValueError: if the cutoff is not positive.
    """

    def __init__(self, cutoff: float = 2.5) -> None:
        super().__init__()
        self.cutoff = positive(cutoff, "cutoff")

    def of_deviation(self, t: Tensor) -> Tensor:
        return (t.abs() > self.cutoff).to(t.dtype)


class LogisticCutoff(Cutoff):
    """P = 1 / (1 + exp(-steepness·(|t| - midpoint))).

    Egan et al. 2018, section 3.2.2; the defaults recovered best in their experiment.

    Args:
        steepness: a, positive.
        midpoint: b, the |t| at which P = ½, in standard deviations of the prior, at least 0.
        per_step: see :class:`Resampling`.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self, steepness: float = 2.0, midpoint: float = 2.0, per_step: bool = True
    ) -> None:
        super().__init__(per_step)
        self.steepness = positive(steepness, "steepness")
        self.midpoint = at_least_zero(midpoint, "midpoint")

    def of_deviation(self, t: Tensor) -> Tensor:
        return torch.sigmoid(self.steepness * (t.abs() - self.midpoint))


class TruncatedNormalCutoff(Cutoff):
    """P = N(cutoff) / N(t) where |t| <= cutoff, else 1; N is the density of N(0, 1).

    Egan et al. 2018, section 3.2.3. For 1 / N(t) the paper prints exp(-t²/2) by mistake: it grows
    with |t|, as exp(+t²/2).

    Args:
        cutoff: in standard deviations of the prior, positive.
        per_step: see :class:`Resampling`.

    Raises:
        ValueError: if the cutoff is not positive.
    """

    def __init__(self, cutoff: float = 2.5, per_step: bool = True) -> None:
        super().__init__(per_step)
        self.cutoff = positive(cutoff, "cutoff")

    def of_deviation(self, t: Tensor) -> Tensor:
        return ((t.square() - self.cutoff**2) / 2).clamp(max=0).exp()


class TypicalBall(Constraint):
    """Projects codes on the ball ‖t‖² <= L + deviations·√(2L), t = (z - mean) / std.

    For draws of a normal prior ‖t‖² has mean L and variance 2L. From "Impact of the latent space
    on the ability of GANs to fit the distribution" (2019), Eq. 5, whose text bounds the norm
    instead, by E‖t‖ + 3·√Var‖t‖. The two nearly agree: that ball's ‖t‖² is larger by about 4, at
    any L. Codes nearer to the mean than any draw would be stay where they are.

    Args:
        deviations: how many standard deviations ‖t‖² may lie above its mean, at least 0.

    Raises:
        ValueError: if ``deviations`` is negative.
    """

    def __init__(self, deviations: float = 3.0) -> None:
        self.deviations = at_least_zero(deviations, "number of deviations")

    def check(self, prior: Prior) -> None:
        # another prior's ‖t‖² has another variance, and its likely codes are no ball
        standardized(torch.empty(0), prior, self)

    @torch.no_grad()
    def apply(
        self, z: Tensor, prior: Prior, steps: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        dim = z.shape[1]
        square = standardized(z, prior, self).square().sum(1, keepdim=True)
        limit = dim + self.deviations * math.sqrt(2 * dim)
        projected = prior.mean + (z - prior.mean) * (limit / square).sqrt()
        return torch.where(square > limit, projected, z), torch.zeros_like(z, dtype=torch.bool)


def standardized(z: Tensor, prior: Prior, constraint: Constraint) -> Tensor:
    """Deviations t = (z - mean) / std under a normal prior, for ``z`` of any shape.

    Raises:
        InputError: if the prior is not normal.
    """
    found = normal_element(prior)
    if found is None:
        raise InputError(
            f"{type(constraint).__name__} is defined for a normal prior, this one is "
            f"{type(prior).__name__}; BoundaryResampling takes any prior with a bound"
        )
    mean, std = found
    return (z - mean) / std


def positive(value: float, what: str) -> float:
    """The value, or a ValueError unless it is positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"expected a positive {what}, got {value}")
    return float(value)


def at_least_zero(value: float, what: str) -> float:
    """The value, or a ValueError unless it is at least 0 and finite."""
    if not 0 <= value < math.inf:
        raise ValueError(f"expected a {what} of at least 0, got {value}")
    return float(value)
