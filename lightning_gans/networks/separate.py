"""Two discriminators in the place of one."""

from __future__ import annotations

from torch import Tensor, nn

from .build import build_discriminator
from .discriminator_output import DiscriminatorOutput
from .factories import DiscriminatorFactory


class Separate(nn.Module):
    """An adversary and an encoder of one architecture that share nothing.

    For methods whose classifier or encoder is a network of its own (thesis, sections 4.4 and 4.5).

    Args:
        image_shape: shape of one sample.
        scores: number of scores, of the adversary.
        code_dim: width of the code, of the encoder.
        trunk: makes either network; None for the standard one.

    Attributes:
        adversary: gives scores and no code.
        encoder: gives a code and no score.

    Raises:
        ValueError: if one of the two would have no output.
    """

    adversary: nn.Module
    encoder: nn.Module

    def __init__(
        self,
        image_shape: tuple[int, ...],
        scores: int = 1,
        code_dim: int = 1,
        *,
        trunk: DiscriminatorFactory | None = None,
    ) -> None:
        super().__init__()
        if min(scores, code_dim) < 1:
            raise ValueError(
                "separate networks need a score and a code each of at least 1: "
                f"scores={scores}, code_dim={code_dim}; for one of them use the trunk itself"
            )
        self.adversary = build_discriminator(trunk, image_shape, scores, 0)
        self.encoder = build_discriminator(trunk, image_shape, 0, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Judge samples (N, *image_shape): the encoder's code, all else the adversary's."""
        output: DiscriminatorOutput = self.adversary(x)
        return output._replace(code=self.encoder(x).code)
