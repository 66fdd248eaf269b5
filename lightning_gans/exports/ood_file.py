"""``ood.json``: what p-values need without this package, from the outputs of exported networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lightning_gans.errors import UserError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Decodes
from lightning_gans.ood.calibration import Calibration
from lightning_gans.ood.conformal import ConformalDetector
from lightning_gans.ood.scorer import Scorer
from lightning_gans.priors import Traced

# the scores that the printed snippet computes
PORTABLE = ("nll", "typicality", "nll_own", "reconstruction", "softmax")


def portable_scores(model: Model) -> tuple[str, ...]:
    """The scores that are exported, the one that decides first; empty if the model has none."""
    try:
        scorer = Scorer(model)
    except UserError:  # it has none
        return ()
    first = scorer.default.name
    found = [name for name in scorer.defaults if name in PORTABLE]
    return tuple(sorted(found, key=lambda name: name != first))


def ood_values(
    model: Model, calibration: Calibration, names: Sequence[str], false_alarms: float
) -> dict[str, Any]:
    """What ``ood.json`` holds: held-out scores, thresholds, and constants of the formulas.

    Args:
        model: the exported model.
        calibration: its held-out scores.
        names: of the scores; the first decides.
        false_alarms: the share of ID images that may be called OOD, in (0, 1).
    """
    prior = model.prior if isinstance(model, Decodes) else None
    values: dict[str, Any] = {
        "score": names[0],
        "false_alarms": false_alarms,
        "thresholds": {
            name: ConformalDetector({name: calibration.scores[name]}, false_alarms).threshold
            for name in names
        },
        "data": calibration.data,
        "one_by_one": not Scorer(model, names).is_batch_independent(),
        # in float64, which holds float32 exactly
        "held_out": {
            name: calibration.scores[name].double().sort().values.tolist() for name in names
        },
    }
    if isinstance(prior, Traced):
        values["mean"] = prior.mean
        values["variance"] = prior.v.detach().to(torch.float64).tolist()
    if (classes := getattr(model, "classes", None)) is not None:
        values["classes"] = list(classes)
    return values
