"""What one pass of an encoder tells of images, wherever a model keeps its encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn

from lightning_gans.models import VAEGAN, InfoGAN, Model
from lightning_gans.networks import DiscriminatorOutput


class Reading(NamedTuple):
    """Codes of images, and what came with them.

    Attributes:
        code: unscaled, (n, latent_dim).
        features: the layer before the code, (n, num_features).
        variance: that the encoder predicts of the code, (n, latent_dim); None if it does not.
    """

    code: Tensor
    features: Tensor
    variance: Tensor | None = None


Reader: TypeAlias = Callable[[Tensor], Reading]


def reader(model: Model) -> Reader:
    """Images (n, *image_shape) to a reading, unchecked, in one pass.

    Args:
        model: one that encodes.
    """
    # its own encoder, or the discriminator's other head
    network = model.encoder if hasattr(model, "encoder") else model.discriminator
    assert isinstance(network, nn.Module)

    def plain(x: Tensor) -> Reading:
        seen: DiscriminatorOutput = network(x)
        return Reading(seen.code, seen.features)

    def infogan(x: Tensor) -> Reading:
        seen = plain(x)
        assert isinstance(model, InfoGAN)
        mean, variance = model.predict(seen.code)
        return Reading(mean, seen.features, variance)

    def vaegan(x: Tensor) -> Reading:
        seen = plain(x)
        mean, _ = seen.code.chunk(2, 1)
        return Reading(mean, seen.features)

    if isinstance(model, InfoGAN):
        return infogan
    return vaegan if isinstance(model, VAEGAN) else plain
