"""A generator behind its prior's scale."""

from __future__ import annotations

from torch import Tensor, nn


class Scaled(nn.Module):
    """Takes latents as the prior draws them, where the generator takes them scaled.

    For DLSGAN and its kin: ``Scaled(model.generator, model.prior.scale())``. It is ``model.decode``
    with gradients, and without its clipping.

    Args:
        generator: scaled latents, and conditions if it has any, to images.
        scale: (L,), see :meth:`lightning_gans.priors.Prior.scale`.
    """

    scale: Tensor

    def __init__(self, generator: nn.Module, scale: Tensor) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("scale", scale.detach().clone())

    def forward(self, z: Tensor, *conditions: Tensor) -> Tensor:
        """Latents (n, L), and conditions, to images (n, *shape)."""
        images: Tensor = self.generator(z * self.scale, *conditions)
        return images
