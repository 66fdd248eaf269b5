"""What scores mean beside those of held-out ID images, which the model was not trained on.

Whatever the score, if an image comes from where the held-out ones do, its rank among them is as
likely to be any as any other. So its p-value is honest with no assumption on the distribution, for
any number of held-out images (Vovk et al. 2005). Higher scores are stranger, p-values lower.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.detection import Floats, Scores, as_scores


def pvalues(scores: Scores, held_out: Scores) -> Tensor:
    """(1 + #{held-out ≥ score}) / (1 + n): how often an ID image would be at least as strange.

    ID images have p ≤ α with a chance of at most α, over draws of the held-out images too; for
    one given set of them the chance is off by about √(α(1 - α)/n).

    Args:
        scores: (k,).
        held_out: scores of held-out ID images, (n,).

    Returns:
        (k,), float64 on the processor, from 1 / (1 + n) to 1, never 0.

    Raises:
        InputError: if either has no scores, another shape, or numbers that are not finite.
    """
    return torch.from_numpy(
        _pvalues(as_scores(scores, "scores"), as_scores(held_out, "held-out scores"))
    )


def alarm_threshold(held_out: Scores, false_alarms: float = 0.05) -> float:
    """The score above which an image is called OOD: just where its p-value is at most the rate.

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
    """Several scores of the same images as one: Σ (1 - p), each p-value of one score.

    Ranks have no unit, so that no weight is to be found on OOD images. All scores count alike, and
    one that sees nothing drowns half of what the other sees; :func:`fisher` gives more to the one
    that is alarmed. Beyond all held-out scores, images are equally strange. (Not in the thesis.)

    Its own p-values take held-out images other than those that the ranks are from.

    Args:
        scores: each (k,).
        held_out: the same scores of held-out ID images, each (n,), in the same order.

    Returns:
        (k,), float64 on the processor, from 0 to the number of scores.

    Raises:
        InputError: as :func:`pvalues`, and if the numbers of scores or of images differ.
    """
    return torch.from_numpy((1 - _each(scores, held_out)).sum(0))


def fisher(scores: Sequence[Scores], held_out: Sequence[Scores]) -> Tensor:
    """Several scores of the same images as one: -Σ log p, each p-value of one score.

    Fisher's way to join tests; one that is far out suffices. The scores of an image need not be
    independent, for the sum is compared with those of other images, not with a χ². (Not in the
    thesis.)

    Args:
        scores: each (k,).
        held_out: the same scores of held-out ID images, each (n,), in the same order.

    Returns:
        (k,), float64 on the processor, in nats, from 0 on.

    Raises:
        InputError: as :func:`rank_sum`.
    """
    return torch.from_numpy(-np.log(_each(scores, held_out)).sum(0))


def _each(scores: Sequence[Scores], held_out: Sequence[Scores]) -> Floats:
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
