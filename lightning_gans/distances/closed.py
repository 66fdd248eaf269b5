"""Closed forms, from the integral of the prior's quantile function."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.distances.checks import as_codes, at_least_float32, check_order, root
from lightning_gans.distances.ranks import argsort_rows, sort_rows
from lightning_gans.errors import InputError
from lightning_gans.priors import Prior


def wasserstein(z: Tensor, prior: Prior, order: int = 1) -> Tensor:
    """Wasserstein distance between each code's elements and the prior's distribution.

    W₁ = ∫|z₍ᵤ₎ - Q(u)| du, where z₍ᵤ₎ is the quantile function of the code: the i-th smallest
    element for u from (i - 1)/L to i/L. W₂ is the root of the integral of the square.

    Args:
        z: codes, (n, L).
        prior: with identically distributed elements; its ``dim`` need not be L, so the pooled
            elements of all codes can be passed as one code.
        order: 1 or 2.

    Returns:
        (n,), in the unit of an element.

    Raises:
        InputError: for another shape or order, or a prior whose elements differ.
    """
    check_order(order)
    codes = _codes(z, prior)
    length = codes.shape[1]
    edges = torch.arange(length + 1, dtype=torch.float64, device=codes.device) / length
    integrals = prior.quantile_integral(edges)
    if order == 2:
        centres = integrals.diff() * length
        # variance of Q within the intervals: the smallest possible value for any code
        least = prior.variance + prior.mean**2 - centres.square().mean()
        square = (sort_rows(codes).double() - centres).square().mean(1) + least
        return root(square).to(at_least_float32(z))
    with torch.no_grad():
        ranked = argsort_rows(codes)
        values = codes.gather(1, ranked).double()
        low, high = edges[:-1], edges[1:]
        # where Q crosses z within the interval: z is above Q before and below Q after
        below = prior.cdf(values)
        at_cut = prior.partial_mean(values)
        at_cut = torch.where(below <= low, integrals[:-1], at_cut)
        at_cut = torch.where(below >= high, integrals[1:], at_cut)
        rest = (integrals[:-1] + integrals[1:]).sum() - 2 * at_cut.sum(1)
        slope = below.clamp(low, high).mul_(2).sub_(low + high)
    return (_products(codes, ranked, slope) + rest).to(at_least_float32(z))


def energy(z: Tensor, prior: Prior) -> Tensor:
    """Energy distance, √(2 ∫(F - G)²) with G the cdf of the code, as in (Cho 2021) and scipy.

    The square is 2 E|z - A| - E|A - A'| - E|z - z'|, with z and z' random elements of the code. It
    is smallest if the i-th smallest element is Q(pᵢ), pᵢ = (i - ½)/L, and exceeds that minimum by
    4/L Σ area(z₍ᵢ₎, pᵢ, F(z₍ᵢ₎)). In this form no large numbers cancel.

    Args:
        z: codes, (n, L).
        prior: with identically distributed elements, see :func:`wasserstein`.

    Returns:
        (n,), in the square root of the unit of an element.

    Raises:
        InputError: for another shape, or a prior whose elements differ.
    """
    codes = _codes(z, prior)
    length = codes.shape[1]
    places = torch.arange(0.5, length, dtype=torch.float64, device=codes.device) / length
    integrals = prior.quantile_integral(places)
    least = 2 * prior.mean - 4 * integrals.mean() - prior.mean_difference
    with torch.no_grad():
        ranked = argsort_rows(codes)
        values = codes.gather(1, ranked).double()
        slope = prior.cdf(values).sub_(places)
        rest = prior.partial_mean(values).sub_(integrals).sum(1)
    area = (_products(codes, ranked, slope) - rest) / length
    return root(least + 4 * area).to(at_least_float32(z))


def lukaszyk_karmowski(z: Tensor, prior: Prior) -> Tensor:
    """Łukaszyk-Karmowski distance: E|zᵢ - A|, mean over elements (Cho, short paper).

    Not a metric on distributions: the minimum is where every element is the prior's median.

    Args:
        z: codes, (n, L).
        prior: with identically distributed elements, see :func:`wasserstein`.

    Returns:
        (n,), in the unit of an element.

    Raises:
        InputError: for another shape, or a prior whose elements differ.
    """
    values = _codes(z, prior).double()
    with torch.no_grad():
        below = prior.cdf(values)
        rest = prior.mean - 2 * prior.partial_mean(values)
    return (values * (2 * below - 1) + rest).mean(1).to(at_least_float32(z))


def _codes(z: Tensor, prior: Prior) -> Tensor:
    """The codes, at least in float32; an InputError if the elements of the prior differ."""
    if not prior.identical:
        raise InputError(
            "a statistical distance compares all elements of a code with one distribution, but "
            f"the elements of this {type(prior).__name__} prior differ"
        )
    return as_codes(z)


def _products(codes: Tensor, ranked: Tensor, slope: Tensor) -> Tensor:
    """Σ slope · z over each code's elements in ascending order, (n,) in float64.

    The slopes (n, L) are put in the codes' order, not the codes in theirs: they are constants, so
    the gradient is one product.

    Args:
        codes: (n, L).
        ranked: (n, L), the indices that sort each code.
        slope: (n, L) in ascending order of the elements.
    """
    return (codes.double() * torch.empty_like(slope).scatter_(1, ranked, slope)).sum(1)
