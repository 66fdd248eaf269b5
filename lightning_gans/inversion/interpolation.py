"""Paths between two codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def linear(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """The straight line (1 - μ)·z₁ + μ·z₂, both ends included.

    In high dimensions it passes through norms that draws do not have; see :func:`slerp`.

    Args:
        z1: start, (L,) or (n, L).
        z2: end, of the same shape.
        steps: number of points, at least 2; μ is evenly spaced from 0 to 1.

    Returns:
        (steps, L), or (n, steps, L): the second dimension runs along the path.

    Raises:
        InputError: for different shapes, or fewer than 2 steps.
    """
    mu = _positions(z1, z2, steps)
    return (1 - mu) * z1.unsqueeze(-2) + mu * z2.unsqueeze(-2)


def slerp(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """The path along a great circle, sin((1-μ)θ)/sin θ · z₁ + sin(μθ)/sin θ · z₂.

    θ is the angle between the codes at 0, which should be the prior's mean. Between codes of equal
    norm the norm is constant along the path; otherwise it changes from one to the other. Parallel
    codes are joined by the straight line, the limit for θ → 0. From White 2016; (Egan 2018,
    section 5.2) prints q₁ for z₁ and omits a bracket.

    Args:
        z1: start, (L,) or (n, L).
        z2: end, of the same shape.
        steps: number of points, at least 2; μ is evenly spaced from 0 to 1.

    Returns:
        (steps, L), or (n, steps, L): the second dimension runs along the path.

    Raises:
        InputError: for different shapes, fewer than 2 steps, codes of norm 0, which have no
            direction, or opposite codes, for which the great circle is not unique.
    """
    mu = _positions(z1, z2, steps)
    norms = [z.norm(dim=-1, keepdim=True) for z in (z1, z2)]
    if not all((norm > 0).all() for norm in norms):
        raise InputError("a code of norm 0 has no direction, so slerp is undefined; use linear")
    a, b = z1 / norms[0], z2 / norms[1]
    # accurate for small angles and near π, unlike the arc cosine of a·b
    sum_, difference = ((a + s * b).norm(dim=-1, keepdim=True) for s in (1, -1))
    eps = torch.finfo(z1.dtype).eps
    if (sum_ < eps**0.5).any():
        raise InputError(
            "the great circle between opposite codes is not unique; go through a third code, or "
            "use linear"
        )
    theta = (2 * torch.atan2(difference, sum_)).unsqueeze(-2)
    parallel = theta < eps
    turn = theta.masked_fill(parallel, 1.0)
    arc = ((1 - mu) * turn).sin() / turn.sin() * z1.unsqueeze(-2)
    arc = arc + (mu * turn).sin() / turn.sin() * z2.unsqueeze(-2)
    return torch.where(parallel, linear(z1, z2, steps), arc)


def great_circle(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """The whole circle around 0 from a code through the direction of another and back.

    ‖z₁‖·(cos φ · a + sin φ · b), where a is the direction of z₁, b that of the part of z₂ at right
    angles to it, and φ runs from 0 to 2π; the norm is that of z₁ everywhere. 0 should be the
    prior's mean. (Egan 2018, Figure 9), where it goes around from a single latent.

    Args:
        z1: start and end, (L,) or (n, L).
        z2: of the same shape.
        steps: number of points, at least 2; φ is evenly spaced, and the last point is the first.

    Returns:
        (steps, L), or (n, steps, L): the second dimension runs along the circle.

    Raises:
        InputError: for different shapes, fewer than 2 steps, or codes of the same or of opposite
            directions or of norm 0, through which there are many such circles.
    """
    turn = 2 * math.pi * _positions(z1, z2, steps)
    norm = z1.norm(dim=-1, keepdim=True)
    a = z1 / norm
    across = z2 - (z2 * a).sum(-1, keepdim=True) * a
    length = across.norm(dim=-1, keepdim=True)
    # rounding leaves this much of codes of one direction
    least = 8 * torch.finfo(z1.dtype).eps * z2.norm(dim=-1, keepdim=True)
    if not (length > least).all():  # also of NaN, from a code of norm 0
        raise InputError(
            "the great circle through codes of one direction, of opposite ones or of norm 0 is not "
            "unique; choose another second code"
        )
    circle: Tensor = norm.unsqueeze(-2) * (
        turn.cos() * a.unsqueeze(-2) + turn.sin() * (across / length).unsqueeze(-2)
    )
    circle[..., 0, :] = circle[..., -1, :] = z1  # exactly
    return circle


def _positions(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """Check the codes and return μ along the path, (steps, 1)."""
    if z1.shape != z2.shape or z1.ndim not in (1, 2):
        raise InputError(
            "expected two codes of shape (L,), or two sets of (n, L), got "
            f"{tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    if steps < 2:
        raise InputError(f"expected at least 2 steps, the two ends of the path, got {steps}")
    return torch.linspace(0, 1, steps, dtype=z1.dtype, device=z1.device).unsqueeze(-1)
