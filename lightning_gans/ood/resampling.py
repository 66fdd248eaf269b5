"""AUROC, AUPR and FPR at once, of scores and of many bootstrap samples of them.

The values are those of :mod:`detection`, in a fraction of the time: scores are sorted once, and a
bootstrap sample is a count for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from lightning_gans.errors import InputError
from lightning_gans.ood.detection import Floats, Scores, as_scores, auroc_coarse

MEASURES = ("auroc", "aupr", "fpr95")

# from distinct scores (k,), lowest first, and how many ID and OOD images have each, (k,) both
Area: TypeAlias = Callable[[Floats, Floats, Floats], float]


class Estimate(NamedTuple):
    """A measure and the ends of its confidence interval, which are NaN if there is none."""

    value: float
    low: float
    high: float


def exact(levels: Floats, id_counts: Floats, ood_counts: Floats) -> float:
    """:func:`auroc` of counted scores."""
    below_and_half_ties = id_counts.cumsum() - id_counts / 2
    return float(ood_counts @ below_and_half_ties) / float(id_counts.sum() * ood_counts.sum())


def coarse(levels: Floats, id_counts: Floats, ood_counts: Floats) -> float:
    """:func:`auroc_coarse` of counted scores."""
    negative, positive = (np.repeat(levels, c.astype(np.int64)) for c in (id_counts, ood_counts))
    return auroc_coarse(negative, positive)


def samples(
    id_scores: Scores,
    ood_scores: Scores,
    repetitions: int = 1000,
    seed: int = 0,
    area: Area = exact,
) -> Floats:
    """The measures of the scores, and of samples of them drawn with replacement.

    Draws depend only on the seed and on how many scores there are. The same images are therefore
    drawn for every score, and means over sets of equal size may be taken sample by sample.

    Args:
        id_scores: (n,).
        ood_scores: (m,).
        repetitions: how many bootstrap samples, at least 0.
        seed: of the draws.
        area: the area under the curve, :func:`exact` or :func:`coarse`.

    Returns:
        (1 + repetitions, 3): the scores themselves first; in the order of :data:`MEASURES`, FPR at
        a TPR of 95 %.

    Raises:
        InputError: as :func:`auroc`, and for a negative number of samples.
    """
    if repetitions < 0:
        raise InputError(f"expected at least 0 samples of a bootstrap, got {repetitions}")
    negative, positive = as_scores(id_scores, "ID scores"), as_scores(ood_scores, "OOD scores")
    levels, places = np.unique(np.concatenate([negative, positive]), return_inverse=True)
    of_id, of_ood = places[: len(negative)], places[len(negative) :]
    random = np.random.default_rng(seed)
    rows = [_measures(levels, of_id, of_ood, area)]
    for _ in range(repetitions):
        drawn_id = of_id[random.integers(len(of_id), size=len(of_id))]
        drawn_ood = of_ood[random.integers(len(of_ood), size=len(of_ood))]
        rows.append(_measures(levels, drawn_id, drawn_ood, area))
    return np.array(rows)


def estimates(folds: Sequence[Floats], level: float = 0.95) -> dict[str, Estimate]:
    """Measures and intervals, by name, from what :func:`samples` gives for each fold.

    For one fold the interval is of percentiles over samples and covers other images. For several
    it is Student's interval of their mean and covers other training runs too.

    Args:
        folds: for each fold, (1 + repetitions, 3).
        level: the share of intervals that should contain the true value, in (0, 1).
    """
    values = np.array([fold[0] for fold in folds])
    mean = values.mean(0)
    if len(folds) > 1:
        half = student.ppf((1 + level) / 2, len(folds) - 1) * values.std(0, ddof=1)
        half = half / np.sqrt(len(folds))
        low, high = (mean - half).clip(0, 1), (mean + half).clip(0, 1)
    elif len(folds[0]) > 1:
        low, high = np.quantile(folds[0][1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    else:
        low = high = np.full(len(MEASURES), np.nan)
    rows = zip(MEASURES, mean, low, high, strict=True)
    return {name: Estimate(float(v), float(a), float(b)) for name, v, a, b in rows}


def _measures(
    levels: Floats, of_id: npt.NDArray[np.intp], of_ood: npt.NDArray[np.intp], area: Area
) -> tuple[float, float, float]:
    id_counts, ood_counts = (
        np.bincount(places, minlength=len(levels)).astype(np.float64) for places in (of_id, of_ood)
    )
    # with each level as the threshold, how many ID and how many OOD images are called OOD
    alarms, found = (counts[::-1].cumsum()[::-1] for counts in (id_counts, ood_counts))
    # where nothing is called OOD, nothing is detected
    precision = found / np.maximum(found + alarms, 1)
    # the highest level that detects enough; `found` falls as levels rise
    threshold = np.count_nonzero(found >= _enough(len(of_ood))) - 1
    return (
        area(levels, id_counts, ood_counts),
        float(ood_counts @ precision) / len(of_ood),
        float(alarms[threshold] / len(of_id)),
    )


@cache
def _enough(m: int) -> int:
    """How many of m are 95 %, compared as in :func:`fpr_at_tpr`."""
    return int(np.searchsorted(np.arange(1, m + 1) / m, 0.95)) + 1
