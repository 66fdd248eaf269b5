"""Out-of-distribution (OOD) detection: are images like those that a model was trained on?

In-distribution (ID) images are, OOD images are not. Every score is higher for more anomalous
images. A :class:`Scorer` gives the scores of :mod:`scores` that a trained model has,
:mod:`conformal` ranks them among the scores of held-out ID images, :mod:`detection` measures how
well a score separates ID from OOD, and :mod:`benchmark` does so on the sets of :mod:`datasets`,
some of which :mod:`corruptions` makes from digits.
"""

from lightning_gans.ood import corruptions, datasets
from lightning_gans.ood.conformal import (
    ConformalDetector,
    alarm_threshold,
    fisher,
    pvalues,
    rank_sum,
)
from lightning_gans.ood.detection import aupr, auroc, auroc_coarse, bootstrap, fpr_at_tpr
from lightning_gans.ood.scorer import Scorer, score_all, scorer
from lightning_gans.ood.scores import (
    SCORES,
    energy,
    feature_error,
    latent_nll,
    maximum_softmax,
    react,
    react_threshold,
    reconstruction_error,
    typicality,
)

__all__ = [
    "SCORES",
    "ConformalDetector",
    "Scorer",
    "alarm_threshold",
    "aupr",
    "auroc",
    "auroc_coarse",
    "bootstrap",
    "corruptions",
    "datasets",
    "energy",
    "feature_error",
    "fisher",
    "fpr_at_tpr",
    "latent_nll",
    "maximum_softmax",
    "pvalues",
    "rank_sum",
    "react",
    "react_threshold",
    "reconstruction_error",
    "score_all",
    "scorer",
    "typicality",
]
