"""The factories that a model takes, which make its networks once the shapes are known."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class GeneratorFactory(Protocol):
    """Makes a generator: a network class, or a partial of one with its other arguments.

    The network maps latents (N, latent_dim) to images (N, *image_shape).
    """

    def __call__(self, latent_dim: int, image_shape: tuple[int, ...]) -> nn.Module:
        """Make a generator of images of ``image_shape``, such as (channels, height, width)."""
        ...


class ConditionalGeneratorFactory(Protocol):
    """Makes a class-conditional generator.

    The network maps latents (N, latent_dim) and labels (N, sum(classes)), concatenated one-hot
    vectors or probabilities, to images (N, *image_shape): ``generator(z, c)``.
    """

    def __call__(
        self, latent_dim: int, image_shape: tuple[int, ...], classes: tuple[int, ...]
    ) -> nn.Module:
        """Make a generator whose labels have ``classes`` classes each, such as (10,)."""
        ...


class DiscriminatorFactory(Protocol):
    """Makes a discriminator: a network class, or a partial of one with its other arguments.

    The network maps images (N, *image_shape) to a ``DiscriminatorOutput``.
    """

    def __call__(self, image_shape: tuple[int, ...], scores: int, code_dim: int) -> nn.Module:
        """Make a discriminator with heads for ``scores`` scores and a code of ``code_dim``."""
        ...
