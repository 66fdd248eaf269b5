"""How a model makes its networks: those that the user chose, or the defaults."""

from __future__ import annotations

from typing import cast

from torch import nn

from .conv import ConvDiscriminator, ConvGenerator
from .factories import ConditionalGeneratorFactory, DiscriminatorFactory, GeneratorFactory
from .mlp import MLPDiscriminator, MLPGenerator


def build_generator(
    factory: GeneratorFactory | ConditionalGeneratorFactory | None,
    latent_dim: int,
    image_shape: tuple[int, ...],
    classes: tuple[int, ...] = (),
) -> nn.Module:
    """Make a generator, class-conditional if there are ``classes``.

    Args:
        factory: makes it; called by name, with ``classes`` only if there are any. None chooses
            ``ConvGenerator`` for images and ``MLPGenerator`` for points.
        latent_dim: width of the latent.
        image_shape: (channels, height, width) of images, or (elements,) of points.
        classes: number of classes of each label.

    Raises:
        ValueError: if ``factory`` is None and samples are neither images nor points.
        TypeError: if there are ``classes`` and the factory does not take them.
    """
    if factory is None:
        factory = ConvGenerator if _are_images(image_shape) else MLPGenerator
    if not classes:
        return cast("GeneratorFactory", factory)(latent_dim=latent_dim, image_shape=image_shape)
    make = cast("ConditionalGeneratorFactory", factory)
    return make(latent_dim=latent_dim, image_shape=image_shape, classes=classes)


def build_discriminator(
    factory: DiscriminatorFactory | None,
    image_shape: tuple[int, ...],
    scores: int,
    code_dim: int,
) -> nn.Module:
    """Make a discriminator.

    Args:
        factory: makes it; called by name. None chooses ``ConvDiscriminator`` for images and
            ``MLPDiscriminator`` for points.
        image_shape: (channels, height, width) of images, or (elements,) of points.
        scores: number of scores.
        code_dim: width of the code.

    Raises:
        ValueError: if ``factory`` is None and samples are neither images nor points.
    """
    if factory is None:
        factory = ConvDiscriminator if _are_images(image_shape) else MLPDiscriminator
    return factory(image_shape=image_shape, scores=scores, code_dim=code_dim)


def _are_images(image_shape: tuple[int, ...]) -> bool:
    if len(image_shape) not in {1, 3}:
        raise ValueError(
            "no default network for this image_shape: expected (channels, height, width) or "
            f"(elements,), got {tuple(image_shape)}; choose the networks yourself"
        )
    return len(image_shape) == 3
