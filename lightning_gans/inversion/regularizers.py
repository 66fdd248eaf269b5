"""Latent regularisers: penalties that keep codes plausible under the prior.

They are not weighted here; the weight λ is an argument of
:func:`~lightning_gans.inversion.recover`. Which priors each one allows follows (Cho 2021, Table 6)
and (Cho, short paper, Table 1).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Protocol

import torch
from torch import Tensor, nn

from lightning_gans import distances
from lightning_gans.errors import InputError
from lightning_gans.losses import AdversarialLoss, LeastSquares
from lightning_gans.priors import Prior, normal_element
from lightning_gans.ranges import ExampleCount, Range, checked

__all__ = [
    "Bhattacharyya",
    "BhattacharyyaNormal",
    "Energy",
    "FoolDiscriminator",
    "LukaszykKarmowski",
    "Regularizer",
    "StatisticalDistance",
    "Wasserstein",
    "ZScoreAbsolute",
    "ZScoreSquare",
]


class Scored(Protocol):
    """The part of a discriminator's output that a regulariser needs."""

    @property
    def score(self) -> Tensor:
        """(n,) or (n, conditions)."""
        ...


class Discriminator(Protocol):
    """Scores images."""

    def __call__(self, x: Tensor) -> Scored:
        """Images (n, *shape) to an output with a ``score``."""
        ...


class Regularizer(ABC):
    """Abstract: a penalty on codes."""

    @abstractmethod
    def check(self, prior: Prior) -> None:
        """Raise an InputError if this regulariser is not defined for the prior."""

    def networks(self) -> list[nn.Module]:
        """Networks that it calls; recovery freezes them and runs them in evaluation mode."""
        return []

    @abstractmethod
    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        """Penalty of codes z (n, L) with images y (n, *shape), to (n,).

        ``random`` is the generator of whatever it draws.
        """


class StatisticalDistance(Regularizer):
    """Abstract: a distance between a code's elements, as a sample, and the prior of one element.

    The prior's elements must be independent and identically distributed, by any distribution.

    Args:
        draws: None for the closed form. Otherwise the prior is replaced by this many draws, redrawn
            for each code in each step, as in the papers (10,000 and 1,000 draws).

    Raises:
        ValueError: for fewer than 1 draw.
    """

    @checked
    def __init__(self, draws: ExampleCount | None = None) -> None:
        self.draws = draws

    def check(self, prior: Prior) -> None:
        if not prior.identical:
            raise InputError(
                f"{type(self).__name__} compares all elements of a code with one distribution, "
                "but the elements of this prior differ; use FoolDiscriminator, or no regulariser"
            )

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        if self.draws is None:
            return self.distance(z, prior)
        rows = -(-len(z) * self.draws // prior.dim)
        drawn = prior.sample(rows, random).flatten()[: len(z) * self.draws]
        return self.distance_to_draws(z, drawn.view(len(z), self.draws))

    @abstractmethod
    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        """Distance in closed form, (n, L) to (n,)."""

    @abstractmethod
    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        """Distance from draws (n, m) of the prior, (n, L) to (n,)."""


class Wasserstein(StatisticalDistance):
    """Wasserstein distance of order 1 (Cho 2021), or 2, which weighs distant elements more.

    Args:
        order: 1 or 2.
        draws: see :class:`StatisticalDistance`.
    """

    @checked
    def __init__(
        self, order: Annotated[int, Range(1, 2)] = 1, draws: ExampleCount | None = None
    ) -> None:
        super().__init__(draws)
        self.order = order

    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        return distances.wasserstein(z, prior, self.order)

    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        return distances.wasserstein_to_draws(z, draws, self.order)


class Energy(StatisticalDistance):
    """Energy distance, the square root of 2∫(F - G)² (Cho 2021)."""

    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        return distances.energy(z, prior)

    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        return distances.energy_to_draws(z, draws)


class LukaszykKarmowski(StatisticalDistance):
    """Łukaszyk-Karmowski distance E|zᵢ - A|, mean over elements.

    Not a metric on distributions: the minimum is where every element is the prior's median.
    """

    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        return distances.lukaszyk_karmowski(z, prior)

    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        return distances.lukaszyk_karmowski_to_draws(z, draws)


class NormalRegularizer(Regularizer, ABC):
    """Abstract: a regulariser that is only defined for normal priors."""

    def check(self, prior: Prior) -> None:
        self.standardized(prior)

    def standardized(self, prior: Prior) -> tuple[float, float]:
        """Mean and standard deviation of a normal prior's elements; an InputError for others."""
        found = normal_element(prior)
        if found is None:
            raise InputError(
                f"{type(self).__name__} is defined for a normal prior, this one is "
                f"{type(prior).__name__}; Wasserstein and Energy take any i.i.d. prior"
            )
        return found


class Bhattacharyya(NormalRegularizer):
    """-log Σ exp(-tᵢ²/4) of the standardised elements t, as computed in (Cho, short paper).

    The minimum is where every element is the prior's mean.
    """

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        return distances.bhattacharyya(z, prior)


class BhattacharyyaNormal(NormalRegularizer):
    """Bhattacharyya distance of the prior from a normal with the code's mean and variance."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        return distances.bhattacharyya_normal(z, prior)


class ZScoreSquare(NormalRegularizer):
    """Mean of the squared z-scores (Cho 2021, section 2)."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        mean, std = self.standardized(prior)
        return ((z - mean) / std).square().mean(1)


class ZScoreAbsolute(NormalRegularizer):
    """Mean of the absolute z-scores (Cho, short paper)."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        mean, std = self.standardized(prior)
        return ((z - mean) / std).abs().mean(1)


class FoolDiscriminator(Regularizer):
    """The generator's adversarial loss on the image of a code (Cho 2021, section 2); any prior.

    Args:
        discriminator: trained with the generator; frozen here and in evaluation mode.
        loss: adversarial loss; LSGAN's (a - 1)² by default, as in the paper.
    """

    def __init__(self, discriminator: Discriminator, loss: AdversarialLoss | None = None) -> None:
        self.discriminator = discriminator
        self.loss = LeastSquares() if loss is None else loss

    def check(self, prior: Prior) -> None:
        """Any prior is allowed."""

    def networks(self) -> list[nn.Module]:
        return [self.discriminator] if isinstance(self.discriminator, nn.Module) else []

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        self.loss.random = random  # soft labels are drawn
        score = self.discriminator(y).score
        if score.ndim > 1 and score.shape[1] > 1:
            raise InputError(
                f"FoolDiscriminator needs one score per image, this discriminator gives "
                f"{score.shape[1]}, one for each class"
            )
        return self.loss.generator(score).flatten()
