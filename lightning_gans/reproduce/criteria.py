"""Criteria of resampling as functions of an element: (Egan 2018, Figures 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lightning_gans.inversion import LogisticCutoff, TruncatedNormalCutoff
from lightning_gans.inversion.constraints import Cutoff
from lightning_gans.priors import Normal
from lightning_gans.ranges import PositiveFloat, PositiveInt
from lightning_gans.reproduce.names import as_name
from lightning_gans.rng import stream

Criterion = Literal["logistic", "truncated_normal"]
# the largest element that is drawn, and at which the probabilities are measured
LARGEST = 4
# elements at each of which it is counted how many are drawn again
ELEMENTS = 4000


def probabilities(
    label: str,
    criterion: Criterion,
    parameters: tuple[PositiveFloat, ...],
    descent: PositiveInt = 200,
) -> dict[str, float]:
    """The probability P of drawing an element again, and how often a descent does it.

    Args:
        label: the beginning of the names of the values.
        criterion: of which kind.
        parameters: steepness and midpoint of the logistic criterion, or the cutoff of the truncated
            normal one.
        descent: steps, over which P is spread.

    Returns:
        label.at_0, label.at_0_5, ..., label.at_4, the probability of elements of that size; with
        the same label, below and above, just below and above the last parameter; asymmetry, the
        largest difference between elements of opposite signs; off, the largest difference between P
        and the share of elements that a descent draws again at least once while they are kept at
        one size.
    """
    made = maker(criterion, parameters)
    sizes = [k / 2 for k in range(2 * LARGEST + 1)]
    p = made.probability(torch.tensor([sizes], dtype=torch.float64), Normal(len(sizes)))[0]
    last = torch.tensor([[parameters[-1] - 1e-6, parameters[-1] + 1e-6]], dtype=torch.float64)
    below, above = made.probability(last, Normal(2))[0].tolist()
    mirrored = made.probability(-torch.tensor([sizes], dtype=torch.float64), Normal(len(sizes)))[0]
    random = stream("criteria", 0)
    z = torch.tensor(sizes).expand(ELEMENTS, -1)
    ever = torch.zeros(z.shape, dtype=torch.bool)
    for _ in range(descent):
        ever |= made.apply(z, Normal(len(sizes)), descent, random)[1]
    values = {
        **{as_name(f"at_{size:g}"): float(q) for size, q in zip(sizes, p, strict=True)},
        "below": below,
        "above": above,
        "asymmetry": float((p - mirrored).abs().max()),
        "off": float((ever.double().mean(0) - p).abs().max()),
    }
    return {f"{label}.{name}": value for name, value in values.items()}


def draw(
    path: Path,
    criterion: Criterion,
    parameters: tuple[tuple[PositiveFloat, ...], ...],
) -> None:
    """P as a function of the size of an element, a curve for each choice of parameters.

    Args:
        path: the PNG file.
        criterion: of which kind.
        parameters: of each curve.
    """
    figure = Figure(figsize=(5.6, 3.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    t = torch.linspace(0, LARGEST, 401, dtype=torch.float64)
    for each in parameters:
        p = maker(criterion, each).probability_of_deviation(t)
        label = ", ".join(f"{value:g}" for value in each)
        axes.plot(t.numpy(), p.numpy(), label=f"{criterion.replace('_', ' ')} ({label})")
    axes.set(xlabel="|z|, in standard deviations", ylabel="probability of drawing it again")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, format="png")


def maker(criterion: Criterion, parameters: Sequence[float]) -> Cutoff:
    """The criterion of a kind with its parameters."""
    makers: dict[Criterion, Callable[..., Cutoff]] = {
        "logistic": LogisticCutoff,
        "truncated_normal": TruncatedNormalCutoff,
    }
    return makers[criterion](*parameters)
