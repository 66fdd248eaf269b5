"""Networks of one linear layer, whose best weights have a closed form."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gans.networks import DiscriminatorOutput, Heads


class LinearGenerator(nn.Module):
    """One layer."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = nn.Linear(latent_dim, image_shape[0])

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.layer(z)
        return x


class LinearDiscriminator(nn.Module):
    """Heads on the points themselves."""

    def __init__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> None:
        super().__init__()
        self.heads = Heads(image_shape[0], scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self.heads(x)
        return output
