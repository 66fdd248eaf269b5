"""What some algorithms ask of the prior of their continuous latent."""

from __future__ import annotations

from lightning_gans.errors import InputError
from lightning_gans.priors import Normal, Prior, Traced


def require_untraced_prior(model: str, prior: Prior) -> Prior:
    """The prior, if it is one that training leaves alone.

    Raises:
        InputError: for a prior that traces codes, of which the model has none.
    """
    if isinstance(prior, Traced):
        raise InputError(
            f"{model} recovers no code that a {type(prior).__name__} could trace; choose another "
            "prior, such as Normal"
        )
    return prior


def require_standard_normal(model: str, prior: Prior) -> Prior:
    """The prior, if it is N(0, 1).

    Raises:
        InputError: if it is not.
    """
    if not isinstance(prior, Normal) or (prior.mean, prior.variance) != (0, 1):
        raise InputError(
            f"{model}'s posterior is held to N(0, 1), got the prior {type(prior).__name__}; choose "
            "Normal with mean 0 and std 1"
        )
    return prior
