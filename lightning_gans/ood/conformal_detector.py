"""Which images are called OOD, at a rate of false alarms that the user chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ood.conformal import alarm_threshold, fisher, pvalues
from lightning_gans.ood.detection import as_scores
from lightning_gans.rng import stream


class Verdicts(NamedTuple):
    """What is said of k images.

    Attributes:
        scores: (k,), the score that decides: of several, their combination.
        pvalues: (k,), in (0, 1].
        alarms: (k,), bool: whether an image is called OOD.
    """

    scores: Tensor
    pvalues: Tensor
    alarms: Tensor


class ConformalDetector:
    """Conformal p-values and verdicts: OOD is what has a p-value of at most the rate.

    Several scores are joined by Fisher's method. One half of the held-out images then gives the
    ranks that are joined, the other half the joined scores that new ones are compared with. The
    halves are drawn at random, always the same.

    Args:
        held_out: scores of held-out ID images by name, each (n,).
        false_alarms: the share of ID images that may be called OOD, in (0, 1).

    Attributes:
        threshold: what scores above are called OOD.
        compared: (m,), the held-out scores that new ones are compared with.

    Raises:
        InputError: for scores of no or different images, a rate out of range, and if there are too
            few held-out images for the rate.
    """

    def __init__(self, held_out: Mapping[str, Tensor], false_alarms: float) -> None:
        self.false_alarms = false_alarms
        self.names = tuple(held_out)
        self._ranks: list[Tensor] = []
        known = [torch.from_numpy(as_scores(v, f"held-out {n}")) for n, v in held_out.items()]
        if not known:
            raise InputError("expected held-out scores of at least one name, got none")
        if len({len(values) for values in known}) != 1:
            raise InputError("expected held-out scores of the same images, got different numbers")
        if len(known) == 1:
            (self.compared,) = known
        else:
            n = len(known[0])
            if n < 2:
                raise InputError(f"expected two held-out images to join scores by, got {n}")
            order = torch.randperm(n, generator=stream("ood/halves", seed=0))
            first, second = order[: n // 2], order[n // 2 :]
            self._ranks = [values[first] for values in known]
            self.compared = fisher([values[second] for values in known], self._ranks)
        self.threshold = alarm_threshold(self.compared, false_alarms)

    def __call__(self, scores: Mapping[str, Tensor]) -> Verdicts:
        """Scores by the same names, each (k,), to verdicts.

        Raises:
            InputError: if a name is missing, or a number is not finite.
        """
        absent = [name for name in self.names if name not in scores]
        if absent:
            raise InputError(f"expected the scores {', '.join(self.names)}, {absent[0]} is missing")
        if self._ranks:
            joined = fisher([scores[name] for name in self.names], self._ranks)
        else:
            joined = torch.from_numpy(as_scores(scores[self.names[0]], "scores"))
        p = pvalues(joined, self.compared)
        return Verdicts(joined, p, p <= self.false_alarms)
