"""How well a score separates OOD images from ID images. OOD is the positive class.

Scores are finite, and higher for more anomalous images. No measure separates tied
scores. Everything is computed in float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid
from torch import Tensor

from lightning_gans.errors import InputError

Floats: TypeAlias = npt.NDArray[np.float64]
Scores: TypeAlias = Tensor | npt.ArrayLike


def auroc(id_scores: Scores, ood_scores: Scores) -> float:
    """Area under the receiver operating characteristic: P(OOD > ID) + ½ P(OOD = ID).

    Exact, over all pairs of an OOD score, (m,), and an ID score, (n,); in O((m + n) log m).

    Returns:
        In [0, 1]; ½ is chance.

    Raises:
        InputError: if either is empty, of another shape, or has non-finite values.
    """
    negative, positive = _both(id_scores, ood_scores)
    positive.sort()
    below = np.searchsorted(positive, negative, "left")
    not_above = np.searchsorted(positive, negative, "right")
    return 1 - float(below.mean() + not_above.mean()) / (2 * len(positive))


def auroc_coarse(id_scores: Scores, ood_scores: Scores, every: int = 10) -> float:
    """AUROC with thresholds only at every tenth ID score, as in the thesis.

    Thresholds go from the highest ID score down, and scores above one are detected. The points of
    the curve, and (1, 1), are joined by straight lines; left of the first point the area is 0. For
    many scores it agrees with the exact area to a few 1e-4; it serves to repeat published numbers.

    Args:
        id_scores: (n,).
        ood_scores: (m,).
        every: step through the sorted ID scores, at least 1.

    Returns:
        In [0, 1].

    Raises:
        InputError: as :func:`auroc`, and for another step.
    """
    if every < 1:
        raise InputError(f"expected a step of at least 1 through the ID scores, got {every}")
    negative, positive = (np.sort(scores) for scores in _both(id_scores, ood_scores))
    thresholds = negative[::-1][::every]
    rates = [
        np.append(1 - np.searchsorted(scores, thresholds, "right") / len(scores), 1)
        for scores in (negative, positive)
    ]
    return float(trapezoid(y=rates[1], x=rates[0]))


def aupr(id_scores: Scores, ood_scores: Scores) -> float:
    """Area under precision over recall, as average precision: Σ (Rₖ - Rₖ₋₁) Pₖ.

    Over all thresholds k, from the highest score down. Unlike AUROC it depends on how many ID and
    OOD scores there are; at chance level it is the share of OOD scores, m / (m + n).

    Args:
        id_scores: (n,).
        ood_scores: (m,).

    Returns:
        In (0, 1].

    Raises:
        InputError: as :func:`auroc`.
    """
    negative, positive = (np.sort(scores) for scores in _both(id_scores, ood_scores))
    found = len(positive) - np.searchsorted(positive, positive, "left")
    alarms = len(negative) - np.searchsorted(negative, positive, "left")
    # each OOD score adds 1/m to the recall, at its own precision as a threshold
    return float((found / (found + alarms)).mean())


def fpr_at_tpr(id_scores: Scores, ood_scores: Scores, tpr: float = 0.95) -> float:
    """The share of ID images called OOD when at least ``tpr`` of the OOD images are detected.

    At the highest threshold that detects so many; scores equal to it are called OOD. OOD is
    positive, as in Hendrycks and Gimpel 2017 and OpenOOD from version 1.5. The papers on ODIN,
    energy and ReAct report the share of OOD images that are accepted when 95 % of ID images are:
    that is ``fpr_at_tpr(-ood_scores, -id_scores)``.

    Args:
        id_scores: (n,).
        ood_scores: (m,).
        tpr: in (0, 1].

    Returns:
        In [0, 1].

    Raises:
        InputError: as :func:`auroc`, and for another rate.
    """
    if not 0 < tpr <= 1:
        raise InputError(f"expected a true positive rate in (0, 1], got {tpr}")
    negative, positive = _both(id_scores, ood_scores)
    positive.sort()
    # of the shares 1/m, 2/m, ... the first that is enough
    enough = int(np.searchsorted(np.arange(1, len(positive) + 1) / len(positive), tpr)) + 1
    return float((negative >= positive[-enough]).mean())


def bootstrap(
    function: Callable[[Floats, Floats], float],
    id_scores: Scores,
    ood_scores: Scores,
    repetitions: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """A bootstrap confidence interval of a measure of ID and OOD scores.

    Percentiles over samples drawn with replacement, separately from ID and OOD scores and as many
    as there are. The interval covers other images, not other training runs. It has no width if all
    samples agree, as at an AUROC of 1. If OOD images are made from the ID images that they are
    compared with, it is too wide rather than too narrow.

    Args:
        function: of (ID scores, OOD scores), e.g. :func:`auroc`; both are sorted, lowest first.
        id_scores: (n,).
        ood_scores: (m,).
        repetitions: how many samples, at least 1.
        level: the share of intervals that should contain the true value, in (0, 1).
        seed: of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        InputError: as :func:`auroc`, and for repetitions or a level out of range.
    """
    if repetitions < 1 or not 0 < level < 1:
        raise InputError(
            "expected at least 1 repetition and a level between 0 and 1, "
            f"got {repetitions} and {level}"
        )
    random = np.random.default_rng(seed)
    negative, positive = (np.sort(scores) for scores in _both(id_scores, ood_scores))
    values = [
        function(_resample(negative, random), _resample(positive, random))
        for _ in range(repetitions)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def as_scores(scores: Scores, what: str) -> Floats:
    """A copy in float64, (n,); an InputError unless n ≥ 1 and all values are finite."""
    if isinstance(scores, Tensor):
        scores = scores.detach().cpu().double().numpy()
    values = np.array(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise InputError(f"expected {what} of shape (n,), at least one, got shape {values.shape}")
    wrong = len(values) - int(np.isfinite(values).sum())
    if wrong:
        raise InputError(
            f"expected {what} of finite numbers, got {wrong} of {len(values)} that are NaN or "
            "infinite; check the images they are from"
        )
    return values


def _both(id_scores: Scores, ood_scores: Scores) -> tuple[Floats, Floats]:
    return as_scores(id_scores, "ID scores"), as_scores(ood_scores, "OOD scores")


def _resample(values: Floats, random: np.random.Generator) -> Floats:
    # sorted, which makes the measures faster
    return values[np.sort(random.integers(len(values), size=len(values)))]
