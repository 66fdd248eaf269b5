"""First codes of a descent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors import Prior
from lightning_gans.validation import check_shape

__all__ = [
    "FromEncoder",
    "FromPrior",
    "FromZeros",
    "Start",
]


class Start(ABC):
    """Abstract: gives each image its first codes."""

    @abstractmethod
    def codes(self, x: Tensor, restarts: int, prior: Prior, random: torch.Generator) -> Tensor:
        """First codes for images x (n, *shape), of shape (n, restarts, prior.dim)."""


class FromPrior(Start):
    """Draws of the prior."""

    def codes(self, x: Tensor, restarts: int, prior: Prior, random: torch.Generator) -> Tensor:
        return prior.sample(len(x) * restarts, random).view(len(x), restarts, prior.dim)


class FromZeros(Start):
    """Zeros for the first restart; the others would repeat it, so they are draws."""

    def codes(self, x: Tensor, restarts: int, prior: Prior, random: torch.Generator) -> Tensor:
        codes = FromPrior().codes(x, restarts, prior, random)
        codes[:, 0] = 0
        return codes


class FromEncoder(Start):
    """The hybrid method: the codes of an encoder for the first restart; the others are draws.

    Args:
        encode: images (n, *shape) to codes (n, L), such as ``model.encode``.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode = encode

    def codes(self, x: Tensor, restarts: int, prior: Prior, random: torch.Generator) -> Tensor:
        codes = FromPrior().codes(x, restarts, prior, random)
        with torch.no_grad():
            encoded = self.encode(x)
        check_shape(encoded, (prior.dim,), "codes from the encoder")
        if len(encoded) != len(x):
            raise InputError(f"expected {len(x)} codes from the encoder, got {len(encoded)}")
        codes[:, 0] = encoded
        return codes
