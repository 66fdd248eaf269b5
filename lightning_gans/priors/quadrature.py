"""Integrals over (0, 1) of functions that may be infinite at the ends, such as quantiles.

With u = 1/(1 + exp(-w)), an integral over u in (0, 1) becomes one over all w, whose integrand
decays exponentially at both ends. Cells of equal width in w then suit every distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

# beyond it, float64 cannot distinguish u from 1
REACH: Final = 36.0
# even, so that the median, where mixtures of two halves have a kink, is an edge
CELLS: Final = 8192
WIDTH: Final = 2 * REACH / CELLS

Function = Callable[[Tensor], Tensor]


def integral(function: Function, device: torch.device) -> float:
    """The integral of a function over (0, 1)."""
    return float(_of_cells(function, device).sum())


def integral_to(u: Tensor, function: Function) -> Tensor:
    """The integral of a function from 0 to each of ``u``, of any shape, in float64."""
    edges = torch.arange(CELLS + 1, dtype=torch.float64, device=u.device) * WIDTH - REACH
    slope = WIDTH * _integrand(edges, function)
    whole = torch.nn.functional.pad(_of_cells(function, u.device).cumsum(0), (1, 0))
    place = (u.double().logit().clamp(-REACH, REACH) + REACH) / WIDTH
    cell = place.nan_to_num().long().clamp(max=CELLS - 1)
    # within a cell, the cubic with the values and slopes at both edges (Hermite)
    t = place - cell
    rise = (whole[1:] - whole[:-1])[cell]
    first, last = slope[cell] - rise, slope[cell + 1] - rise
    return whole[cell] + t * (rise + (1 - t) * ((1 - t) * first - t * last))


def _of_cells(function: Function, device: torch.device) -> Tensor:
    """The integral over each cell, by two-point Gauss-Legendre quadrature."""
    middle = torch.arange(0.5, CELLS, dtype=torch.float64, device=device) * WIDTH - REACH
    off = WIDTH / 2 / 3**0.5
    return WIDTH / 2 * (_integrand(middle - off, function) + _integrand(middle + off, function))


def _integrand(w: Tensor, function: Function) -> Tensor:
    u = w.sigmoid()
    # du/dw = u(1 - u), with 1 - u computed from w: near u = 1 it would lose its digits
    return function(u) * u * (-w).sigmoid()
