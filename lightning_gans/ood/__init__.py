"""Out-of-distribution (OOD) detection: is an image from the world that a model was trained on?

In-distribution (ID) is what resembles the training images. Every score is higher for what is
stranger: :mod:`scores` are formulas, :mod:`scoring` applies those that a trained model has,
:mod:`conformal` ranks scores among those of held-out ID images, :mod:`detection` measures how well
a score tells ID from OOD, and :mod:`benchmark` does so on :mod:`sets` of images, for some of which
:mod:`corruptions` makes digits strange.
"""

from lightning_gans.ood import corruptions, sets
from lightning_gans.ood.conformal import alarm_threshold, fisher, pvalues, rank_sum
from lightning_gans.ood.detection import aupr, auroc, auroc_coarse, bootstrap, fpr_at_tpr
from lightning_gans.ood.scores import (
    energy,
    feature_error,
    latent_nll,
    maximum_softmax,
    react,
    react_threshold,
    reconstruction_error,
    typicality,
)
from lightning_gans.ood.scoring import Scorer, score_all, scorer

__all__ = [
    "Scorer",
    "alarm_threshold",
    "aupr",
    "auroc",
    "auroc_coarse",
    "bootstrap",
    "corruptions",
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
    "sets",
    "typicality",
]
