"""Paths between codes, whose images show what lies between two recovered ones."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.errors import InputError


def linear(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """The straight line (1 - μ)·z₁ + μ·z₂, both ends included.

    Between codes of a high dimension it leads through norms that no draw has; see :func:`slerp`.

    Args:
        z1: where it starts, (L,) or (n, L).
        z2: where it ends, of the same shape.
        steps: the number of points, at least 2; μ goes evenly from 0 to 1.

    Returns:
        (steps, L), or (n, steps, L): the second dimension is along the path.

    Raises:
        InputError: for shapes that differ, or fewer than 2 steps.
    """
    mu = _positions(z1, z2, steps)
    return (1 - mu) * z1.unsqueeze(-2) + mu * z2.unsqueeze(-2)


def slerp(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """The path along a great circle, sin((1-μ)θ)/sin θ · z₁ + sin(μθ)/sin θ · z₂.

    θ is the angle between the codes as seen from 0, which is to be the prior's mean. Codes of equal
    norm keep it on the way; between unequal norms it goes over from one to the other. (White 2016;
    Egan et al. 2018, section 5.2, print q₁ for z₁ and leave out a bracket.) Parallel codes are
    joined by the straight line, the limit of θ → 0.

    Args:
        z1: where it starts, (L,) or (n, L).
        z2: where it ends, of the same shape.
        steps: the number of points, at least 2; μ goes evenly from 0 to 1.

    Returns:
        (steps, L), or (n, steps, L): the second dimension is along the path.

    Raises:
        InputError: for shapes that differ, fewer than 2 steps, codes of norm 0, which have no
            direction, or opposite codes, between which every great circle is as short.
    """
    mu = _positions(z1, z2, steps)
    norms = [z.norm(dim=-1, keepdim=True) for z in (z1, z2)]
    if not all((norm > 0).all() for norm in norms):
        raise InputError("a code of norm 0 has no direction for slerp to turn; use linear")
    a, b = z1 / norms[0], z2 / norms[1]
    # exact for small angles and near π, where the arc cosine of a·b is not
    sum_, difference = ((a + s * b).norm(dim=-1, keepdim=True) for s in (1, -1))
    eps = torch.finfo(z1.dtype).eps
    if (sum_ < eps**0.5).any():
        raise InputError(
            "between opposite codes every great circle is as short; go through a third code, or "
            "use linear"
        )
    theta = (2 * torch.atan2(difference, sum_)).unsqueeze(-2)
    parallel = theta < eps
    turn = theta.masked_fill(parallel, 1.0)
    arc = ((1 - mu) * turn).sin() / turn.sin() * z1.unsqueeze(-2)
    arc = arc + (mu * turn).sin() / turn.sin() * z2.unsqueeze(-2)
    return torch.where(parallel, linear(z1, z2, steps), arc)


def _positions(z1: Tensor, z2: Tensor, steps: int) -> Tensor:
    """μ along the path, (steps, 1), for codes that have been checked."""
    if z1.shape != z2.shape or z1.ndim not in (1, 2):
        raise InputError(
            "expected two codes of shape (L,), or two sets of (n, L), got "
            f"{tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    if steps < 2:
        raise InputError(f"a path has at least its 2 ends, got steps={steps}")
    return torch.linspace(0, 1, steps, dtype=z1.dtype, device=z1.device).unsqueeze(-1)
