"""Adversarial losses and gradient penalties: pure functions of scores and inputs.

An adversarial loss consists of three functions, each from scores (N,) or (N, conditions) to losses
of the same shape. The caller takes the mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  (the usual name)
from torch import Tensor

from lightning_gans.ranges import checked


class AdversarialLoss(ABC):
    """Abstract: what the two players minimise, A_d on real and fake scores and A_g on fake scores.

    Attributes:
        random: generator of random targets; a model sets it to its own.
    """

    random: torch.Generator | None = None

    @abstractmethod
    def real(self, score: Tensor) -> Tensor:
        """The discriminator's loss on scores of real data."""

    @abstractmethod
    def fake(self, score: Tensor) -> Tensor:
        """The discriminator's loss on scores of fakes."""

    @abstractmethod
    def generator(self, score: Tensor) -> Tensor:
        """The generator's loss on scores of its fakes."""


LossFactory: TypeAlias = Callable[[], AdversarialLoss]


class NonSaturating(AdversarialLoss):
    """NSGAN, the logistic loss (Goodfellow et al. 2014): -log σ(a) and -log(1 - σ(a)).

    Example:
        >>> NonSaturating().real(torch.zeros(1))  # log 2 where the discriminator cannot tell
        tensor([0.6931])
    """

    def real(self, score: Tensor) -> Tensor:
        return F.softplus(-score)

    def fake(self, score: Tensor) -> Tensor:
        return F.softplus(score)

    def generator(self, score: Tensor) -> Tensor:
        return F.softplus(-score)


class LeastSquares(AdversarialLoss):
    """LSGAN (Mao et al. 2017): squared error to 1 for real, 0 for fake, 1 for the generator."""

    def real(self, score: Tensor) -> Tensor:
        return (score - 1).square()

    def fake(self, score: Tensor) -> Tensor:
        return score.square()

    def generator(self, score: Tensor) -> Tensor:
        return (score - 1).square()


class Hinge(AdversarialLoss):
    """The hinge loss (Lim and Ye 2017): scores beyond ±1 cost the discriminator nothing."""

    def real(self, score: Tensor) -> Tensor:
        return F.relu(1 - score)

    def fake(self, score: Tensor) -> Tensor:
        return F.relu(1 + score)

    def generator(self, score: Tensor) -> Tensor:
        return -score


class Wasserstein(AdversarialLoss):
    """WGAN (Arjovsky et al. 2017): the difference of mean scores; needs a gradient penalty."""

    def real(self, score: Tensor) -> Tensor:
        return -score

    def fake(self, score: Tensor) -> Tensor:
        return score

    def generator(self, score: Tensor) -> Tensor:
        return -score


class SoftLabels(AdversarialLoss):
    """Cross-entropy with a random label for each score (Salimans et al. 2016).

    The ranges are those of (Egan 2018), including labels above 1, for which the loss has no
    minimum. Every label is replaced there, so the generator's target is drawn like a real label.

    Args:
        real: lowest and highest label of real data, instead of 1.
        fake: lowest and highest label of fakes, instead of 0.
    """

    @checked
    def __init__(
        self, real: tuple[float, float] = (0.7, 1.2), fake: tuple[float, float] = (0.0, 0.3)
    ) -> None:
        self.real_labels, self.fake_labels = tuple(real), tuple(fake)

    def real(self, score: Tensor) -> Tensor:
        return self._cross_entropy(score, self.real_labels)

    def fake(self, score: Tensor) -> Tensor:
        return self._cross_entropy(score, self.fake_labels)

    def generator(self, score: Tensor) -> Tensor:
        return self._cross_entropy(score, self.real_labels)

    def _cross_entropy(self, score: Tensor, labels: tuple[float, ...]) -> Tensor:
        low, high = labels
        u = torch.rand(score.shape, generator=self.random, device=score.device, dtype=score.dtype)
        # -t·log σ(a) - (1 - t)·log(1 - σ(a)), which is linear in the label t
        return F.softplus(score) - (low + (high - low) * u) * score


def contrastive_loss(x: Tensor, y: Tensor, temperature: float = 1.0) -> Tensor:
    """NT-Xent: row i of x and row i of y are to be alike, and unlike all other rows of both.

    The normalised temperature-scaled cross-entropy of (Chen et al. 2020, SimCLR, Eq. 1): of
    the 2n - 1 other rows, how likely is the right one, with cosine similarities divided by the
    temperature as logits.

    Args:
        x: features, (n, d).
        y: features of what the rows of x are of, (n, d).
        temperature: positive.

    Returns:
        (2n,), in nats: of the rows of x, then of those of y.
    """
    n = len(x)
    rows = F.normalize(torch.cat([x, y]), dim=1)
    logits = rows @ rows.t() / temperature
    logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=x.device), -torch.inf)
    right = torch.arange(2 * n, device=x.device).roll(n)
    return F.cross_entropy(logits, right, reduction="none")


def gradient_penalty(score: Tensor, x: Tensor, center: float = 0.0, weight: float = 1.0) -> Tensor:
    """Weighted mean over the batch of (‖∂score/∂x‖₂ - center)².

    With ``center=0`` this is R1 on real data and R2 on fakes (Mescheder et al. 2018, without their
    factor of a half); with ``center=1`` on random interpolates it is WGAN-GP's penalty (Gulrajani
    et al. 2017).

    Args:
        score: (N,), or any shape with N rows; all scores of a row are summed.
        x: (N, ...), input of the scores, with ``requires_grad`` set before scoring.
        center: gradient norm without a penalty.
        weight: of the penalty; at 0 nothing is computed, and the result is 0.

    Returns:
        A differentiable scalar.

    Raises:
        ValueError: if ``x`` does not require a gradient.
    """
    if not x.requires_grad:
        raise ValueError("expected an x with requires_grad set before it was scored; it is not set")
    if weight == 0:
        return score.new_zeros(())
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    squares = gradient.flatten(1).square().sum(1)
    if center == 0:
        return weight * squares.mean()  # without the root, whose gradient is infinite at 0
    return weight * (squares.clamp(min=1e-24).sqrt() - center).square().mean()


def interpolate(x: Tensor, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Uniform random points on the lines between x and y, (N, ...), which require gradients.

    One random number per row (Gulrajani et al. 2017, Algorithm 1, line 6).
    """
    u = torch.rand(len(x), generator=generator, device=x.device, dtype=x.dtype)
    u = u.view(-1, *[1] * (x.ndim - 1))
    return (u * x + (1 - u) * y).detach().requires_grad_()
