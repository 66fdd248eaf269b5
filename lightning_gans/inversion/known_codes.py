"""Recovery of known codes: how often each resampling criterion finds the code of an image.

The experiment of (Egan 2018, section 4.2): codes are drawn, their images are recovered once under
each criterion from the same first codes, and each recovered code is compared with the drawn one. ::

    truth = prior.sample(100)
    found = {
        name: known_codes.errors(
            recover(generator, generator(truth), prior, constraint=criterion, restarts=1).codes,
            truth,
        )
        for name, criterion in known_codes.published_criteria().items()
    }
    print(known_codes.markdown(known_codes.compare(found, baseline="disabled")))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.inversion.constraints import (
    Constraint,
    HardCutoff,
    LogisticCutoff,
    TruncatedNormalCutoff,
)
from lightning_gans.inversion.tables import aligned, percent

# errors below which the table counts recoveries
THRESHOLDS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# two errors differ significantly if one is at least this many times the other
FACTOR = 2


@dataclass(frozen=True)
class Comparison:
    """A row of (Egan 2018, Table 1).

    Attributes:
        n: the number of codes.
        below: share of codes with an error below each of ``THRESHOLDS``.
        wins: share of codes with a lower error than the baseline; NaN for the baseline itself. If
            no element was redrawn, both errors are equal, bit for bit on a CPU: not a win.
        significant_wins: share of wins among codes whose error differs from the baseline's by a
            factor of at least 2; NaN if there are none, and for the baseline itself.
        mean: mean error.
    """

    n: int
    below: tuple[float, ...]
    wins: float
    significant_wins: float
    mean: float


def errors(codes: Tensor, truth: Tensor) -> Tensor:
    """‖z - z*‖²/L of each recovered code z from the code z* that made its image.

    Under a standard normal prior, a guess of 0 has expected error 1, and an independent draw 2.

    Args:
        codes: recovered, (n, L).
        truth: the drawn codes, of the same shape; both unscaled.

    Returns:
        (n,), float64.

    Raises:
        InputError: for shapes that differ or are not (n, L).
    """
    if codes.shape != truth.shape or codes.ndim != 2 or codes.shape[1] == 0:
        raise InputError(
            "expected codes and true codes of one shape (n, L), got "
            f"{tuple(codes.shape)} and {tuple(truth.shape)}"
        )
    return (codes.double() - truth.to(codes.device).double()).square().mean(1)


def compare(errors: Mapping[str, Tensor], baseline: str) -> dict[str, Comparison]:
    """Compare named recoveries of the same codes with one of them, the baseline.

    Args:
        errors: the errors (n,) of each recovery, in the same order of codes.
        baseline: name of the recovery that the others are compared with.

    Raises:
        InputError: if there is no such baseline, or errors are non-finite, negative, or not as
            many as the baseline's.
    """
    if baseline not in errors:
        raise InputError(f"no errors named {baseline!r}; there are {', '.join(errors) or 'none'}")
    shape = errors[baseline].shape
    for name, values in errors.items():
        if values.shape != shape or values.ndim != 1 or not len(values):
            raise InputError(
                "expected errors of shape (n,), as many as the baseline's "
                f"{tuple(shape)}, got {tuple(values.shape)} of {name!r}"
            )
        if not (values.isfinite() & (values >= 0)).all():
            raise InputError(f"expected finite errors of at least 0; {name!r} has others")
    return {
        name: _comparison(values, None if name == baseline else errors[baseline])
        for name, values in errors.items()
    }


def _comparison(values: Tensor, baseline: Tensor | None) -> Comparison:
    values = values.double().cpu()
    below = tuple(_share(values < threshold) for threshold in THRESHOLDS)
    wins = significant_wins = math.nan
    if baseline is not None:
        base = baseline.double().cpu()
        low, high = torch.minimum(values, base), torch.maximum(values, base)
        # errors that are both 0 do not differ
        significant = (high >= FACTOR * low) & (high > low)
        wins, significant_wins = _share(values < base), _share((values < base)[significant])
    return Comparison(len(values), below, wins, significant_wins, float(values.mean()))


def _share(true: Tensor) -> float:
    """The share of true values; NaN if there are no values."""
    return float(true.double().mean())


def markdown(rows: Mapping[str, Comparison]) -> str:
    """The table of (Egan 2018): shares in percent, a dash where nothing can be compared."""
    return aligned(
        ("criterion", *(f"< {t:g}" for t in THRESHOLDS), "wins", "significant wins", "mean error"),
        [
            (
                name,
                *map(percent, row.below),
                percent(row.wins),
                percent(row.significant_wins),
                f"{row.mean:.3g}",
            )
            for name, row in rows.items()
        ],
    )


def published_criteria() -> dict[str, Constraint | None]:
    """The 18 criteria of (Egan 2018, Table 1) by name; ``disabled`` is no constraint.

    The paper's text gives 3.5 as the last cutoff of the truncated normal, its table 3.75. These
    values are from the table.
    """
    criteria: dict[str, Constraint | None] = {"disabled": None}
    for cutoff in (2.5, 3.0, 3.5):
        criteria[f"hard({cutoff:g})"] = HardCutoff(cutoff)
    for cutoff in (2.5, 2.75, 3.0, 3.25, 3.75):
        criteria[f"trunc_norm({cutoff:g})"] = TruncatedNormalCutoff(cutoff)
    for midpoint in (2.0, 2.5, 3.0):
        for steepness in (2.0, 3.0, 4.0):
            criteria[f"logistic({steepness:g}, {midpoint:g})"] = LogisticCutoff(steepness, midpoint)
    return criteria
