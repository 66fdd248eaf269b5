"""Conformal OOD detection: what scores mean among those of held-out ID images.

Held-out images are ID images that the model was not trained on. Whatever the score, an image drawn
like them is equally likely to take any rank among them. Its p-value is therefore valid without
assumptions on the distribution, for any number of held-out images (Vovk et al. 2005). More
anomalous images have higher scores and lower p-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.detection import Floats, Scores, as_scores
from lightning_gans.ranges import OpenUnitInterval, checked
from lightning_gans.rng import stream


def pvalues(scores: Scores, held_out: Scores) -> Tensor:
    """(1 + #{held-out ≥ score}) / (1 + n): how likely an ID image is to score as high.

    An ID image has p ≤ α with a probability of at most α, if the held-out images are redrawn
    too; for one given set of them the probability is off by about √(α(1 - α)/n).

    Args:
        scores: (k,).
        held_out: scores of held-out ID images, (n,).

    Returns:
        (k,), float64 on the CPU, from 1 / (1 + n) to 1, never 0.

    Raises:
        InputError: if either is empty, of another shape, or has non-finite values.
    """
    return torch.from_numpy(
        _pvalues(as_scores(scores, "scores"), as_scores(held_out, "held-out scores"))
    )


def alarm_threshold(held_out: Scores, false_alarms: float = 0.05) -> float:
    """The score above which an image is called OOD, which is where its p-value is at most the rate.

    Args:
        held_out: scores of held-out ID images, (n,).
        false_alarms: the share of ID images that may be called OOD, in (0, 1).

    Returns:
        A threshold t, one of the held-out scores; call OOD what has score > t.

    Raises:
        InputError: as :func:`pvalues`, for another rate, and if no p-value can be as low as the
            rate: it takes 1 / rate - 1 held-out scores.
    """
    if not 0 < false_alarms < 1:
        raise InputError(f"expected a rate of false alarms between 0 and 1, got {false_alarms}")
    values = np.sort(as_scores(held_out, "held-out scores"))
    possible = np.arange(1, len(values) + 1) / (1 + len(values))
    allowed = int(np.searchsorted(possible, false_alarms, "right"))
    if not allowed:
        raise InputError(
            f"a false-alarm rate of {false_alarms:g} needs at least "
            f"{int(np.ceil(1 / false_alarms)) - 1} held-out scores, got {len(values)}; "
            "hold out more images or allow more false alarms"
        )
    return float(values[-allowed])


def rank_sum(scores: Sequence[Scores], held_out: Sequence[Scores]) -> Tensor:
    """Combine several scores of the same images: Σ (1 - p), one p-value for each score.

    Ranks have no unit, so no weights need to be tuned on OOD images. All scores count alike: a
    score that cannot tell an image from ID ones hides half of what another tells; :func:`fisher`
    gives more weight to low p-values. Beyond all held-out scores, images are equally anomalous.
    (Not in the thesis.)

    P-values of the sum need other held-out images than those that the ranks are taken from.

    Args:
        scores: each (k,).
        held_out: the same scores of held-out ID images, each (n,), in the same order.

    Returns:
        (k,), float64 on the CPU, from 0 to the number of scores.

    Raises:
        InputError: as :func:`pvalues`, and if the numbers of scores or of images differ.
    """
    return torch.from_numpy((1 - _pvalues_by_score(scores, held_out)).sum(0))


def fisher(scores: Sequence[Scores], held_out: Sequence[Scores]) -> Tensor:
    """Combine several scores of the same images: -Σ log p, one p-value for each score.

    Fisher's method of combining tests: one very low p-value suffices. The scores of an image need
    not be independent, since the sum is compared with those of other images and not with a χ²
    distribution. (Not in the thesis.)

    Args:
        scores: each (k,).
        held_out: the same scores of held-out ID images, each (n,), in the same order.

    Returns:
        (k,), float64 on the CPU, in nats, at least 0.

    Raises:
        InputError: as :func:`rank_sum`.
    """
    return torch.from_numpy(-np.log(_pvalues_by_score(scores, held_out)).sum(0))


class Verdicts(NamedTuple):
    """The verdicts on k images.

    Attributes:
        scores: (k,), the score that decides; of several, their combination.
        pvalues: (k,), in (0, 1].
        is_ood: (k,), bool: whether an image is called OOD.
    """

    scores: Tensor
    pvalues: Tensor
    is_ood: Tensor


class ConformalDetector:
    """Calls images OOD whose conformal p-value is at most a chosen rate of false alarms.

    Several scores are combined by Fisher's method. One half of the held-out images then gives the
    ranks, and the other half the combined scores that new ones are compared with. The halves are
    drawn at random, but always the same.

    Args:
        held_out: scores of held-out ID images by name, each (n,).
        false_alarms: the share of ID images that may be called OOD, in (0, 1).

    Attributes:
        threshold: images that score above it are called OOD.
        reference: (m,), the held-out scores that new ones are compared with.

    Raises:
        InputError: for no scores or scores of different images, a rate out of range, and if there
            are too few held-out images for the rate.
    """

    @checked
    def __init__(self, held_out: Mapping[str, Tensor], false_alarms: OpenUnitInterval) -> None:
        self.false_alarms = false_alarms
        self.names = tuple(held_out)
        self._ranking: list[Tensor] = []
        known = [torch.from_numpy(as_scores(v, f"held-out {n}")) for n, v in held_out.items()]
        if not known:
            raise InputError("expected held-out scores of at least one name, got none")
        if len({len(values) for values in known}) != 1:
            raise InputError("expected held-out scores of the same images, got different numbers")
        if len(known) == 1:
            (self.reference,) = known
        else:
            n = len(known[0])
            if n < 2:
                raise InputError(f"expected two held-out images to combine scores, got {n}")
            order = torch.randperm(n, generator=stream("ood/halves", seed=0))
            first, second = order[: n // 2], order[n // 2 :]
            self._ranking = [values[first] for values in known]
            self.reference = fisher([values[second] for values in known], self._ranking)
        self.threshold = alarm_threshold(self.reference, false_alarms)

    def __call__(self, scores: Mapping[str, Tensor]) -> Verdicts:
        """Scores by the same names, each (k,), to verdicts.

        Raises:
            InputError: if a name is missing, or a value is non-finite.
        """
        absent = [name for name in self.names if name not in scores]
        if absent:
            raise InputError(f"expected the scores {', '.join(self.names)}, {absent[0]} is missing")
        if self._ranking:
            combined = fisher([scores[name] for name in self.names], self._ranking)
        else:
            combined = torch.from_numpy(as_scores(scores[self.names[0]], "scores"))
        p = pvalues(combined, self.reference)
        return Verdicts(combined, p, p <= self.false_alarms)


def _pvalues_by_score(scores: Sequence[Scores], held_out: Sequence[Scores]) -> Floats:
    """The p-values of each score, (scores, k)."""
    if len(scores) != len(held_out) or not len(scores):
        raise InputError(
            f"expected as many held-out scores as scores, got {len(held_out)} kinds for "
            f"{len(scores)}"
        )
    asked = [as_scores(s, "scores") for s in scores]
    known = [as_scores(s, "held-out scores") for s in held_out]
    for values, what in ((asked, "scores"), (known, "held-out scores")):
        lengths = {len(v) for v in values}
        if len(lengths) > 1:
            raise InputError(f"expected {what} of the same images, got {sorted(lengths)} of them")
    return np.stack([_pvalues(s, h) for s, h in zip(asked, known, strict=True)])


def _pvalues(scores: Floats, held_out: Floats) -> Floats:
    below = np.searchsorted(np.sort(held_out), scores, "left")
    return np.asarray((1 + len(held_out) - below) / (1 + len(held_out)))
