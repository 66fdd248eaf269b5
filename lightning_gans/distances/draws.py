"""Distances to draws of the prior, as in the papers."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.distances.checks import as_codes, check_order, root
from lightning_gans.distances.ranks import argsort_rows, sort_rows
from lightning_gans.errors import InputError


def wasserstein_to_draws(z: Tensor, draws: Tensor, order: int = 1) -> Tensor:
    """Wasserstein distance between each code's elements and draws, as two samples.

    Order 1 is the area between the empirical cdfs (Cho 2021); order 2 compares the quantile
    functions. At ties the gradient is a subgradient.

    Args:
        z: codes, (n, L).
        draws: without gradients, (m,) for all codes, or (n, m) with its own draws for each code.
        order: 1 or 2.

    Returns:
        (n,), in the unit of an element.

    Raises:
        InputError: for another shape or order.
    """
    check_order(order)
    values, draws = _with_draws(z, draws)
    if order == 1:
        difference, gaps = _between_cdfs(values, draws)
        return (difference.abs() * gaps).sum(1)
    length, number = values.shape[1], draws.shape[1]
    # in units of 1/(L·m), both quantile functions jump at integers
    ours = torch.arange(1, length, device=z.device) * number
    theirs = torch.arange(1, number + 1, device=z.device) * length
    ends = torch.cat([ours, theirs]).sort().values
    starts = torch.nn.functional.pad(ends[:-1], (1, 0))
    apart = sort_rows(values)[:, starts // number] - draws.sort(1).values[:, starts // length]
    return root((apart.square() * (ends - starts)).sum(1) / (length * number))


def energy_to_draws(z: Tensor, draws: Tensor) -> Tensor:
    """Energy distance, √(2 ∫(F - G)²), between each code's elements and draws, as two samples.

    At ties the gradient is a subgradient; at distance 0 it is 0.

    Args:
        z: codes, (n, L).
        draws: without gradients, (m,) for all codes, or (n, m) with its own draws for each code.

    Returns:
        (n,), in the square root of the unit of an element.

    Raises:
        InputError: for another shape.
    """
    difference, gaps = _between_cdfs(*_with_draws(z, draws))
    return root(2 * (difference.square() * gaps).sum(1))


def lukaszyk_karmowski_to_draws(z: Tensor, draws: Tensor) -> Tensor:
    """Mean of |zᵢ - aⱼ| over all pairs of an element and a draw, with n·(L + m) memory.

    Args:
        z: codes, (n, L).
        draws: without gradients, (m,) for all codes, or (n, m) with its own draws for each code.

    Returns:
        (n,), in the unit of an element.

    Raises:
        InputError: for another shape.
    """
    values, draws = _with_draws(z, draws)
    ordered = draws.sort(1).values
    sums = torch.nn.functional.pad(ordered.double().cumsum(1), (1, 0))
    below = torch.searchsorted(ordered, values.detach().contiguous())
    number = draws.shape[1]
    slope = 2 * below.to(sums.dtype) / number - 1
    rest = (sums[:, -1:] - 2 * sums.gather(1, below)) / number
    return (values * slope + rest).mean(1).to(values.dtype)


def _between_cdfs(values: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """Cdf of the code minus cdf of the draws between neighbouring values, and the gaps."""
    length, number = values.shape[1], draws.shape[1]
    joined = torch.cat([values, draws], 1)
    order = argsort_rows(joined)
    union = joined.gather(1, order)
    ours = (order < length).cumsum(1)[:, :-1]
    theirs = torch.arange(1, length + number, device=values.device) - ours
    # counts are integers, exact in float32
    return ours.to(union.dtype) / length - theirs.to(union.dtype) / number, union.diff(dim=1)


def _with_draws(z: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    values = as_codes(z)
    if draws.shape[-1:] == (0,) or draws.shape[:-1] not in {(), (len(z),)} or draws.ndim < 1:
        raise InputError(
            f"expected draws of shape (m,), or (n, m) for the n={len(z)} codes, got "
            f"{tuple(draws.shape)}"
        )
    return values, draws.detach().to(values).expand(len(z), -1)
