"""Latent regularisers: what is added to the reconstruction loss so that a code stays plausible.

Each is λ-free here; the weight is :func:`~lightning_gans.inversion.recover`'s. Which priors each
allows is Table 6 of Cho 2021 (statistical distance latent regulation) and Table 1 of its short
predecessor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_gans import distances
from lightning_gans.errors import InputError
from lightning_gans.losses import AdversarialLoss, LeastSquares
from lightning_gans.priors import Prior, normal_element


class Scored(Protocol):
    """What a discriminator returns, as far as a regulariser needs it."""

    @property
    def score(self) -> Tensor:
        """(n,) or (n, conditions)."""
        ...


class Discriminator(Protocol):
    """Judges images."""

    def __call__(self, x: Tensor) -> Scored:
        """Images (n, *shape) to a judgement with a ``score``."""
        ...


class Regularizer(ABC):
    """A penalty on codes."""

    @abstractmethod
    def check(self, prior: Prior) -> None:
        """Raise an InputError if this regulariser has no meaning under the prior."""

    def networks(self) -> list[nn.Module]:
        """Networks that it asks, which recovery holds still and in evaluation mode."""
        return []

    @abstractmethod
    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        """Of codes z (n, L) with images y (n, *shape), to (n,); ``random`` is drawn from."""


class StatisticalDistance(Regularizer):
    """A distance between a code's elements, as a sample, and the prior of one element.

    The prior's elements must be independent and identically distributed; any distribution will do.

    Args:
        draws: None for the closed form; else the number of draws of the prior, anew for each code
            in each step, that stand for it, as the papers computed it (10,000 and 1,000).

    Raises:
        ValueError: for fewer than 1 draw.
    """

    def __init__(self, draws: int | None = None) -> None:
        if draws is not None and draws < 1:
            raise ValueError(f"expected at least 1 draw, or null for the closed form, got {draws}")
        self.draws = draws

    def check(self, prior: Prior) -> None:
        if not prior.identical:
            raise InputError(
                f"{type(self).__name__} compares all elements of a code with one distribution, "
                "but the elements of this prior differ; use FoolDiscriminator, or none"
            )

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        if self.draws is None:
            return self.distance(z, prior)
        rows = -(-len(z) * self.draws // prior.dim)
        drawn = prior.sample(rows, random).flatten()[: len(z) * self.draws]
        return self.distance_to_draws(z, drawn.view(len(z), self.draws))

    @abstractmethod
    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        """In closed form, (n, L) to (n,)."""

    @abstractmethod
    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        """From draws (n, m) of the prior, (n, L) to (n,)."""


class Wasserstein(StatisticalDistance):
    """Wasserstein distance: of order 1 (Cho 2021), or 2, which weighs far elements more.

    Args:
        order: 1 or 2.
        draws: see :class:`StatisticalDistance`.
    """

    def __init__(self, order: int = 1, draws: int | None = None) -> None:
        super().__init__(draws)
        if order not in (1, 2):
            raise ValueError(f"expected order 1 or 2, got {order}")
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

    No metric on distributions: it is least where every element is the prior's median.
    """

    def distance(self, z: Tensor, prior: Prior) -> Tensor:
        return distances.lukaszyk_karmowski(z, prior)

    def distance_to_draws(self, z: Tensor, draws: Tensor) -> Tensor:
        return distances.lukaszyk_karmowski_to_draws(z, draws)


class OfNormal(Regularizer):
    """Abstract: a regulariser that is defined for normal priors alone."""

    def check(self, prior: Prior) -> None:
        self.standardized(prior)

    def standardized(self, prior: Prior) -> tuple[float, float]:
        """Mean and standard deviation of a normal prior's elements, or an InputError."""
        found = normal_element(prior)
        if found is None:
            raise InputError(
                f"{type(self).__name__} is defined for a normal prior, this one is "
                f"{type(prior).__name__}; Wasserstein and Energy take any i.i.d. prior"
            )
        return found


class Bhattacharyya(OfNormal):
    """-log Σ exp(-tᵢ²/4) of the standardised elements t, as Cho's first paper computed it.

    Least where every element is the prior's mean.
    """

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        return distances.bhattacharyya(z, prior)


class BhattacharyyaNormal(OfNormal):
    """Bhattacharyya distance between the prior and a normal of the code's mean and variance."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        return distances.bhattacharyya_normal(z, prior)


class ZScoreSquare(OfNormal):
    """Mean of the squared z-scores (Cho 2021, section 2)."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        mean, std = self.standardized(prior)
        return ((z - mean) / std).square().mean(1)


class ZScoreAbsolute(OfNormal):
    """Mean of the absolute z-scores (Cho's first paper)."""

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        mean, std = self.standardized(prior)
        return ((z - mean) / std).abs().mean(1)


class FoolDiscriminator(Regularizer):
    """The generator's adversarial loss on the code's image (Cho 2021, section 2); for any prior.

    Args:
        discriminator: of the same game as the generator; used in evaluation mode, not trained.
        loss: whose generator loss is taken; (a - 1)², LSGAN's, in the paper.
    """

    def __init__(self, discriminator: Discriminator, loss: AdversarialLoss | None = None) -> None:
        self.discriminator = discriminator
        self.loss = LeastSquares() if loss is None else loss

    def check(self, prior: Prior) -> None:
        """Any prior will do."""

    def networks(self) -> list[nn.Module]:
        return [self.discriminator] if isinstance(self.discriminator, nn.Module) else []

    def penalty(self, z: Tensor, y: Tensor, prior: Prior, random: torch.Generator) -> Tensor:
        self.loss.random = random  # soft labels are drawn
        score = self.discriminator(y).score
        if score.ndim > 1 and score.shape[1] > 1:
            raise InputError(
                f"FoolDiscriminator needs one score of an image, this discriminator gives "
                f"{score.shape[1]}, one for each class"
            )
        return self.loss.generator(score).flatten()
