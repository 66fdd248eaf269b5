"""Out-of-distribution (OOD) detection: is an image from the world that a model was trained on?

In-distribution (ID) is what resembles the training images. Every score is higher for what is
stranger: :mod:`scores` of single images, :mod:`conformal` against scores of held-out ID images,
and :mod:`detection` measures how well a score tells ID from OOD.
"""

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

__all__ = [
    "alarm_threshold",
    "aupr",
    "auroc",
    "auroc_coarse",
    "bootstrap",
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
    "typicality",
]
