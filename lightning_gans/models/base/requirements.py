"""What some algorithms require of the data's labels and of the latent's prior."""

from __future__ import annotations

from lightning_gans.errors import InputError
from lightning_gans.priors import Normal, Prior, Traced


def require_labels(model: str, classes: tuple[int, ...]) -> tuple[int, ...]:
    """The number of classes of each label of the data.

    Raises:
        InputError: if there are no labels, or only one class.
    """
    if max(classes, default=0) < 2:
        raise InputError(
            f"{model} needs labels, and the data have none; choose labelled data, such as "
            "data=mnist5k, or a folder with a folder for each class"
        )
    return tuple(classes)


def require_untraced_prior(model: str, prior: Prior) -> Prior:
    """The prior, if training does not change it.

    Raises:
        InputError: for a prior that traces codes: the model has none.
    """
    if isinstance(prior, Traced):
        raise InputError(
            f"{model} has no encoder, whose codes a {type(prior).__name__} would trace; choose "
            "another prior, such as Normal"
        )
    return prior


def require_standard_normal(model: str, prior: Prior) -> Prior:
    """The prior, if it is N(0, 1).

    Raises:
        InputError: if it is not.
    """
    if not isinstance(prior, Normal) or (prior.mean, prior.variance) != (0, 1):
        raise InputError(
            f"{model} regularises its posterior towards N(0, 1), got the prior "
            f"{type(prior).__name__}; choose Normal with mean 0 and std 1"
        )
    return prior
