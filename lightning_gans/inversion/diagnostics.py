"""Diagnostics of a descent and its result: loss surface, trace, and norms of codes.

From (Latent Space 2019), "Impact of the latent space on the ability of GANs to fit the
distribution".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.inversion.networks import frozen
from lightning_gans.inversion.reconstruction import L1, Reconstruction
from lightning_gans.inversion.recovery import Recovery
from lightning_gans.inversion.tables import aligned
from lightning_gans.priors import Prior
from lightning_gans.validation import check_shape

# codes drawn or decoded at once
BATCH = 256


def directions(center: Tensor, target: Tensor) -> Tensor:
    """Two orthogonal directions of equal norm; the first leads to the target.

    α = z* - z₀, and β of two elements only: β₁ = α₂, β₂ = -α₁, scaled to ‖β‖ = ‖α‖ (Latent
    Space 2019, section 3). Where α₁ and α₂ are 0, β leads along the first element.

    Args:
        center: z₀, (L,) with L at least 2; 0 in the paper.
        target: z*, (L,), e.g. a recovered code.

    Returns:
        (2, L): α and β.

    Raises:
        InputError: for other shapes, or a target at the center.
    """
    if center.shape != target.shape or center.ndim != 1 or len(center) < 2:
        raise InputError(
            "expected a center and a target of one shape (L,) with L >= 2, got "
            f"{tuple(center.shape)} and {tuple(target.shape)}"
        )
    alpha = target - center
    if not alpha.norm() > 0:
        raise InputError("the target equals the center, so no direction leads to it")
    beta = torch.zeros_like(alpha)
    beta[0], beta[1] = alpha[1], -alpha[0]
    if not beta.norm() > 0:
        beta[0] = 1
    return torch.stack([alpha, beta * (alpha.norm() / beta.norm())])


@torch.no_grad()
def loss_surface(
    generator: nn.Module,
    x: Tensor,
    center: Tensor,
    directions: Tensor,
    extent: float = 2.0,
    points: int = 41,
    loss: Reconstruction | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """The reconstruction loss of one image on a plane of codes, f(a, b) = l(z₀ + a·α + b·β).

    (Latent Space 2019, Eq. 1 and Fig. 2). An odd number of points includes the center.

    Args:
        generator: latents (n, L), and conditions if given, to images (n, *shape); it runs in
            evaluation mode.
        x: the target image (*shape).
        center: z₀, (L,).
        directions: α and β, (2, L); see :func:`directions`.
        extent: a and b go from -extent to extent; 2 in the paper.
        points: values on each side, at least 2.
        loss: as in :func:`recover`; :class:`L1` by default.
        condition: (classes,), the condition of the image, for class-conditional generators.

    Returns:
        (points, points): the value at [i, j] is that of the i-th a and the j-th b.

    Raises:
        InputError: for shapes that do not fit, an extent that is not positive, or too few points.
    """
    if center.ndim != 1 or directions.shape != (2, *center.shape):
        raise InputError(
            "expected a center of shape (L,) and directions of shape (2, L), got "
            f"{tuple(center.shape)} and {tuple(directions.shape)}"
        )
    if points < 2 or not extent > 0:
        raise InputError(f"expected points >= 2 and extent > 0, got {points} and {extent}")
    loss = loss or L1()
    line = torch.linspace(-extent, extent, points).to(center)
    # codes take their precision and device from the center
    x, directions = x.to(center), directions.to(center)
    values = []
    with frozen(generator):
        for ab in torch.split(torch.cartesian_prod(line, line), BATCH):
            each = () if condition is None else (condition.to(center).expand(len(ab), -1),)
            made = generator(center + ab @ directions, *each)
            check_shape(x[None], tuple(made.shape[1:]), "target image")
            values.append(loss.distance(made, x.expand_as(made)))
    return torch.cat(values).view(points, points)


def norms(codes: Tensor) -> Tensor:
    """‖z‖₂ of codes (n, L), to (n,)."""
    lengths: Tensor = torch.linalg.vector_norm(codes, dim=1)
    return lengths


@torch.no_grad()
def shell(prior: Prior, n: int, random: torch.Generator) -> Tensor:
    """Norms of ``n`` draws, (n,); in many dimensions they lie in a thin shell.

    Args:
        prior: drawn from.
        n: the number of draws, at least 1.
        random: generator of the draws, on the prior's device.
    """
    if n < 1:
        raise InputError(f"expected at least 1 draw, got {n}")
    sizes = [min(BATCH, n - begun) for begun in range(0, n, BATCH)]
    return torch.cat([norms(prior.sample(size, random)) for size in sizes])


@dataclass(frozen=True)
class Placement:
    """Where norms of codes lie relative to norms of draws; the three shares add up to 1.

    Attributes:
        below: share of codes with a norm below the central interval of the draws.
        within: share inside it; about ``central`` for genuine draws.
        above: share above it. Without a constraint or regulariser this can be all codes (Latent
            Space 2019, Fig. 10).
        low: lower end of the central interval.
        high: upper end of the central interval.
        central: share of draws in the central interval.
    """

    below: float
    within: float
    above: float
    low: float
    high: float
    central: float


def placement(codes: Tensor, draws: Tensor, central: float = 0.99) -> Placement:
    """Compare norms of codes with norms of draws.

    Args:
        codes: norms (n,) of recovered codes, see :func:`norms`.
        draws: norms (m,) of draws, see :func:`shell`; some thousands for an interval of 99 %.
        central: share of draws in the central interval, in (0, 1); equally many draws lie below
            and above it.

    Raises:
        InputError: for other shapes, non-finite norms, or a share out of range.
    """
    for values, what in ((codes, "norms of codes"), (draws, "norms of draws")):
        check_shape(values, (), what)
        if not len(values):
            raise InputError(f"expected {what}, got none")
    if not 0 < central < 1:
        raise InputError(f"expected a central share between 0 and 1, got {central}")
    codes, draws = codes.double().cpu(), draws.double().cpu()
    low, high = np.quantile(draws.numpy(), [(1 - central) / 2, (1 + central) / 2])
    below, above = ((codes < low).double().mean(), (codes > high).double().mean())
    within = ((codes >= low) & (codes <= high)).double().mean()
    return Placement(
        float(below), float(within), float(above), float(low), float(high), float(central)
    )


def band(trace: Tensor, shares: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Tensor:
    """Quantiles over images of the loss at each step.

    An image that stopped early keeps its last loss, since leaving it out would make the quantiles
    jump.

    Args:
        trace: (n, steps + 1), see :class:`Recovery`; NaN after an early stop.
        shares: quantiles to compute, in [0, 1].

    Returns:
        (len(shares), steps + 1), float64; NaN where no image has a loss.
    """
    values = trace.double().cpu().numpy()
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), -1), axis=1)
    filled = np.where(last >= 0, np.take_along_axis(values, last.clip(0), 1), np.nan)
    some = ~np.isnan(filled).all(0)
    quantiles = np.full((len(shares), values.shape[1]), np.nan)
    quantiles[:, some] = np.nanquantile(filled[:, some], shares, axis=0)
    return torch.from_numpy(quantiles)


def by_latent_size(recoveries: Mapping[int, Recovery]) -> str:
    """A Markdown table of the reconstruction loss against the latent size.

    After (Latent Space 2019, Fig. 3). The recoveries should be of the same images under the same
    loss. Norms are divided by √L, the typical norm of a draw of N(0, I).

    Args:
        recoveries: by latent size L.

    Raises:
        InputError: if codes do not have the stated size, or a recovery is empty.
    """
    rows = []
    for size, recovery in sorted(recoveries.items()):
        check_shape(recovery.codes, (size,), f"codes of latent size {size}")
        if not len(recovery):
            raise InputError(f"the recovery of latent size {size} is empty")
        found = recovery.reconstruction.double()
        low, median, high = np.quantile(found.cpu().numpy(), [0.1, 0.5, 0.9])
        length = float(norms(recovery.codes.double()).mean()) / size**0.5
        numbers = (f"{value:.4g}" for value in (float(found.mean()), low, median, high, length))
        rows.append((str(size), str(len(recovery)), *numbers))
    header = ("latent size", "images", "mean loss", "10 %", "median", "90 %", "mean norm / √L")
    return aligned(header, rows)
