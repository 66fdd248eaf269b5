"""Two separate networks in place of one discriminator."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gans.ranges import Width, checked

from .build import build_discriminator
from .discriminator_output import DiscriminatorOutput
from .factories import DiscriminatorFactory


class Separate(nn.Module):
    """An adversary and an encoder of one architecture that share no weights.

    For methods whose classifier or encoder is a separate network (thesis, sections 4.4 and 4.5).

    Args:
        image_shape: shape of one sample.
        scores: number of scores, of the adversary.
        code_dim: width of the code, of the encoder.
        trunk: makes both networks; None for the default.

    Attributes:
        adversary: gives scores and no code.
        encoder: gives a code and no score.

    Raises:
        ValueError: if one of them would have no output.
    """

    adversary: nn.Module
    encoder: nn.Module

    @checked
    def __init__(
        self,
        image_shape: tuple[Width, ...],
        scores: Width = 1,
        code_dim: Width = 1,
        *,
        trunk: DiscriminatorFactory | None = None,
    ) -> None:
        super().__init__()
        self.adversary = build_discriminator(trunk, image_shape, scores, 0)
        self.encoder = build_discriminator(trunk, image_shape, 0, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """The encoder's code and the adversary's scores and features of samples."""
        output: DiscriminatorOutput = self.adversary(x)
        return output._replace(code=self.encoder(x).code)
