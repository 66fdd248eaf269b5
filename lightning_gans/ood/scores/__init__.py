"""OOD scores of single images, by what a model makes of them: higher is more anomalous.

The formulas are pure functions of codes, logits, features or images, in the precision of these but
float32 at least. A score checks which models it applies to, and passes the outputs of their
networks to its formula. Scores do not use training images; held-out images calibrate them.
"""

from lightning_gans.ood.scores import likelihood, logits, reconstruction
from lightning_gans.ood.scores.likelihood import latent_nll, typicality
from lightning_gans.ood.scores.logits import energy, maximum_softmax, react, react_threshold
from lightning_gans.ood.scores.reconstruction import feature_error, reconstruction_error
from lightning_gans.ood.scores.score import ForwardPasses, Score

SCORES: tuple[Score, ...] = (*likelihood.SCORES, *reconstruction.SCORES, *logits.SCORES)
"""All scores, in the order in which they are given."""

__all__ = [
    "SCORES",
    "ForwardPasses",
    "Score",
    "energy",
    "feature_error",
    "latent_nll",
    "maximum_softmax",
    "react",
    "react_threshold",
    "reconstruction_error",
    "typicality",
]
