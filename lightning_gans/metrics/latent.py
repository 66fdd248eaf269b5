"""How well latents are recovered, and how much of the latent is used."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.metrics.average import Average
from lightning_gans.validation import check_tensor


class LatentLoss(Average):
    """Mean over samples and dimensions of ((z - z′) s)², the error of recovered codes."""

    higher_is_better = False

    def update(self, code: Tensor, recovered: Tensor, scale: Tensor) -> None:
        """Add codes and their recovered values.

        Args:
            code: z, (N, L).
            recovered: z′, (N, L).
            scale: s, (L,).

        Raises:
            ValueError: if the shapes are wrong.
        """
        for values in (code, recovered, scale):
            check_tensor(values, "code, recovered and scale")
        if code.ndim != 2 or code.shape != recovered.shape or scale.shape != code.shape[1:]:
            raise ValueError(
                "expected code (N, L), recovered (N, L) and scale (L,), got"
                f" {tuple(code.shape)}, {tuple(recovered.shape)} and {tuple(scale.shape)}"
            )
        z, recovered, s = (x.to(self.total.device).double() for x in (code, recovered, scale))
        self.add(((z - recovered) * s).square())


def latent_entropy(entropy: Tensor | float, scale: Tensor) -> Tensor:
    """Differential entropy of the scaled latent Z s, in nats: Σᵢ (log sᵢ + h(Zᵢ)).

    Args:
        entropy: h(Zᵢ) of the prior's elements in nats, one number or (L,); ½ log 2πe for the
            standard normal.
        scale: s, (L,), positive.

    Returns:
        Scalar, in the precision of scale.

    Raises:
        ValueError: if scale is not a vector of positive numbers.

    Source: thesis, section 3.2, lemma.

    >>> import torch
    >>> import math
    >>> round(latent_entropy(0.5 * math.log(2 * math.pi * math.e), torch.ones(1024)).item(), 2)
    1452.99
    """
    check_tensor(scale, "a scale")
    if scale.ndim != 1 or not (scale > 0).all():
        raise ValueError(f"expected a positive scale (L,), got shape {tuple(scale.shape)}")
    return (scale.log() + entropy).sum()


def active_dimensions(variance: Tensor) -> Tensor:
    """How many dimensions of the latent are in use.

    A dimension is in use if its recovered variance is at least a tenth of the largest. A relative
    threshold also works before the variances have converged; converged ones are near 1 or near
    0.03.

    Args:
        variance: v, the recovered variance of each dimension, (L,), not negative.

    Returns:
        int64 scalar; 0 if nothing was recovered at all.

    Raises:
        ValueError: if it is not a vector of non-negative numbers.

    >>> import torch
    >>> active_dimensions(torch.tensor([0.9, 0.1, 0.03, 0.02]))
    tensor(2)
    """
    check_tensor(variance, "variances")
    if variance.ndim != 1 or variance.numel() == 0 or not (variance >= 0).all():
        raise ValueError(
            f"expected variances (L,), none negative, got shape {tuple(variance.shape)}"
        )
    return ((variance >= 0.1 * variance.max()) & (variance > 0)).sum()
