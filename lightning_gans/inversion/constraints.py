"""Constraints on codes, applied after each step of a descent.

A resampling redraws single elements that are unlikely under the prior; a projection moves codes
back to where draws of the prior lie.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors import Prior, normal_element
from lightning_gans.ranges import NonNegativeFloat, PositiveFloat, checked

__all__ = [
    "BoundaryResampling",
    "Constraint",
    "HardCutoff",
    "LogisticCutoff",
    "Resampling",
    "TruncatedNormalCutoff",
    "TypicalBall",
]


class Constraint(ABC):
    """Abstract: changes codes after a step, outside the gradient."""

    @abstractmethod
    def check(self, prior: Prior) -> None:
        """Raise an InputError if this constraint is not defined for the prior."""

    @abstractmethod
    def apply(
        self, z: Tensor, prior: Prior, steps: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Turn codes after one step into the codes from which the next step starts.

        Args:
            z: codes (n, L); not modified.
            prior: of the codes.
            steps: number of steps of the whole descent, at least 1.
            random: generator of the draws, on the codes' device.

        Returns:
            New codes (n, L), and a bool mask (n, L) of the elements that were redrawn.
        """


class Resampling(Constraint, ABC):
    """Abstract: redraws each element from the prior, with its own probability.

    Args:
        per_step: spread the probability P over the E steps of the descent: each step then redraws
            with 1 - (1 - P)^(1/E), and always if P = 1 (Egan 2018, section 3.2). Otherwise each
            step redraws with P itself, as in the experiments of (Cho 2021); over hundreds of
            steps almost every element is then redrawn.
    """

    def __init__(self, per_step: bool = True) -> None:
        self.per_step = per_step

    @abstractmethod
    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        """Probability P of each element of codes (n, L), to (n, L), in [0, 1]."""

    @torch.no_grad()
    def apply(
        self, z: Tensor, prior: Prior, steps: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        # always draw a whole sample, so that the stream does not depend on what is replaced
        fresh = prior.sample(len(z), random).to(z)
        # in float32 the smallest positive threshold is 6e-8, often more than P/E
        threshold = torch.rand(z.shape, generator=random, dtype=torch.float64, device=z.device)
        p = self.probability(z.double(), prior)
        if self.per_step:
            # 1 - (1 - P)^(1/E), accurate for small P too
            p = -torch.expm1(torch.log1p(-p) / steps)
        drawn = threshold < p
        return torch.where(drawn, fresh, z), drawn


class BoundaryResampling(Resampling):
    """Always redraws elements outside the prior's support (P is 0 or 1).

    This is the stochastic clipping of Lipton & Tripathi 2017, who define it for a uniform prior;
    here any prior with a finite bound is allowed.
    """

    def __init__(self) -> None:
        super().__init__()

    def check(self, prior: Prior) -> None:
        low, high = prior.support
        if math.isinf(low) and math.isinf(high):
            raise InputError(
                "BoundaryResampling needs a prior with a finite bound; the support of this one, "
                f"{type(prior).__name__}, has none; use LogisticCutoff or TruncatedNormalCutoff"
            )

    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        low, high = prior.support
        return ((z < low) | (z > high)).to(z.dtype)


class Cutoff(Resampling, ABC):
    """Abstract: P depends only on t = (z - mean) / std, under a normal prior (Egan 2018).

    Args:
        per_step: see :class:`Resampling`.
    """

    def check(self, prior: Prior) -> None:
        standardized(torch.empty(0), prior, self)

    def probability(self, z: Tensor, prior: Prior) -> Tensor:
        return self.probability_of_deviation(standardized(z, prior, self))

    @abstractmethod
    def probability_of_deviation(self, t: Tensor) -> Tensor:
        """P of elements t standard deviations from the mean; any shape."""


class HardCutoff(Cutoff):
    """Always redraws elements with |t| > cutoff (P is 0 or 1).

    (Egan 2018, section 3.2.1), whose formula prints < by mistake; the text says >.

    Args:
        cutoff: in standard deviations of the prior, positive.

    Raises:
        ValueError: if the cutoff is not positive.
    """

    @checked
    def __init__(self, cutoff: PositiveFloat = 2.5) -> None:
        super().__init__()
        self.cutoff = cutoff

    def probability_of_deviation(self, t: Tensor) -> Tensor:
        return (t.abs() > self.cutoff).to(t.dtype)


class LogisticCutoff(Cutoff):
    """P = 1 / (1 + exp(-steepness·(|t| - midpoint))).

    (Egan 2018, section 3.2.2); the defaults recovered best in the experiment there.

    Args:
        steepness: a, positive.
        midpoint: b, the |t| at which P = ½, at least 0.
        per_step: see :class:`Resampling`.

    Raises:
        ValueError: if a number is out of its range.
    """

    @checked
    def __init__(
        self,
        steepness: PositiveFloat = 2.0,
        midpoint: NonNegativeFloat = 2.0,
        per_step: bool = True,
    ) -> None:
        super().__init__(per_step)
        self.steepness = steepness
        self.midpoint = midpoint

    def probability_of_deviation(self, t: Tensor) -> Tensor:
        return torch.sigmoid(self.steepness * (t.abs() - self.midpoint))


class TruncatedNormalCutoff(Cutoff):
    """P = N(cutoff) / N(t) where |t| <= cutoff, else 1; N is the density of N(0, 1).

    (Egan 2018, section 3.2.3), which prints exp(-t²/2) for 1 / N(t) by mistake: it grows with |t|
    as exp(+t²/2).

    Args:
        cutoff: in standard deviations of the prior, positive.
        per_step: see :class:`Resampling`.

    Raises:
        ValueError: if the cutoff is not positive.
    """

    @checked
    def __init__(self, cutoff: PositiveFloat = 2.5, per_step: bool = True) -> None:
        super().__init__(per_step)
        self.cutoff = cutoff

    def probability_of_deviation(self, t: Tensor) -> Tensor:
        return ((t.square() - self.cutoff**2) / 2).clamp(max=0).exp()


class TypicalBall(Constraint):
    """Projects codes onto the ball ‖t‖² <= L + deviations·√(2L), t = (z - mean) / std.

    For draws of a normal prior ‖t‖² has mean L and variance 2L (Latent Space 2019, Eq. 5). The
    text there bounds the norm instead, by E‖t‖ + 3·√Var‖t‖. The two nearly agree: the ball of the
    text allows a ‖t‖² larger by about 4, for any L. Codes closer to the mean than any draw are not
    moved.

    Args:
        deviations: how many standard deviations ‖t‖² may lie above its mean, at least 0.

    Raises:
        ValueError: if ``deviations`` is negative.
    """

    @checked
    def __init__(self, deviations: NonNegativeFloat = 3.0) -> None:
        self.deviations = deviations

    def check(self, prior: Prior) -> None:
        # under another prior ‖t‖² has another variance, and likely codes do not fill a ball
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
