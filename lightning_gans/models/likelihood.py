"""How likely a code is under what the encoder was seen to recover."""

from __future__ import annotations

from torch import Tensor

from lightning_gans.errors import UserError
from lightning_gans.models.base import Model
from lightning_gans.priors import Traced


def likelihood_score(model: Model, x: Tensor) -> Tensor:
    """-log N(E(x); mean, v) of images x, (n, *image_shape) to (n,), in nats (thesis, Eq. 37).

    Raises:
        UserError: if the model's prior traces no variance v.
        ValueError: if x has another shape or range, or a number is not finite.
    """
    if not isinstance(model.prior, Traced):
        raise UserError(
            f"{type(model).__name__} scores by a traced variance, which its prior "
            f"{type(model.prior).__name__} does not keep; train with a DynamicScale or FixedScale"
        )
    return model.prior.negative_log_likelihood(model.encode(x))
