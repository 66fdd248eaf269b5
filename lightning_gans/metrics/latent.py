"""How well codes are recovered, and how much of a latent is in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from lightning_gans.metrics.states import device_only


class LatentLoss(Metric):
    """Mean over samples and dimensions of ((z - z′) s)²: the error of recovered codes."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, code: Tensor, recovered: Tensor, scale: Tensor) -> None:
        """Add codes and what was recovered of them.

        Args:
            code: z, (N, L).
            recovered: z′, (N, L).
            scale: s, (L,).

        Raises:
            ValueError: if the shapes are others.
        """
        if code.ndim != 2 or code.shape != recovered.shape or scale.shape != code.shape[1:]:
            raise ValueError(
                "expected code (N, L), recovered (N, L) and scale (L,), got"
                f" {tuple(code.shape)}, {tuple(recovered.shape)} and {tuple(scale.shape)}"
            )
        z, recovered, s = (x.to(self.total.device).double() for x in (code, recovered, scale))
        self.total += ((z - recovered) * s).square().sum()
        self.count += z.numel()

    def compute(self) -> Tensor:
        """The mean, float64 scalar.

        Raises:
            ValueError: if there was no code.
        """
        if self.count == 0:
            raise ValueError("no code was given: call update before compute")
        return self.total / self.count

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        return super()._apply(device_only(fn), exclude_state)


def latent_entropy(entropy: Tensor | float, scale: Tensor) -> Tensor:
    """Differential entropy of the scaled latent Z s, in nats: Σᵢ (log sᵢ + h(Zᵢ)).

    Args:
        entropy: h of one element of the prior in nats, a number or (L,); ½ log 2πe for the
            standard normal.
        scale: s, (L,), positive.

    Returns:
        Scalar, in the precision of scale.

    Raises:
        ValueError: if scale is not a vector of positive numbers.

    Source: thesis, section 3.2, lemma.

    >>> import math
    >>> round(latent_entropy(0.5 * math.log(2 * math.pi * math.e), torch.ones(1024)).item(), 2)
    1452.99
    """
    if scale.ndim != 1 or not (scale > 0).all():
        raise ValueError(f"expected a positive scale (L,), got shape {tuple(scale.shape)}")
    return (scale.log() + entropy).sum()


def active_dimensions(variance: Tensor) -> Tensor:
    """How many dimensions of the latent are in use.

    A dimension is in use if its recovered variance is at least a tenth of the largest. Being
    relative, this has a meaning before the variances have converged; converged ones are either
    near 1 or near 0.03.

    Args:
        variance: v, recovered variance of each dimension, (L,), not negative.

    Returns:
        int64 scalar; 0 if nothing was recovered at all.

    Raises:
        ValueError: if variance is not a vector of numbers that are not negative.

    >>> active_dimensions(torch.tensor([0.9, 0.1, 0.03, 0.02]))
    tensor(2)
    """
    if variance.ndim != 1 or variance.numel() == 0 or not (variance >= 0).all():
        raise ValueError(
            f"expected variances (L,), none negative, got shape {tuple(variance.shape)}"
        )
    return ((variance >= 0.1 * variance.max()) & (variance > 0)).sum()
