"""Fully connected networks: for points, and for small images."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, SmallCount, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import EqualizedLinear


class MLPGenerator(nn.Module):
    """Fully connected generator with equalised learning rate and a linear output.

    Defaults are those of the thesis for two-dimensional Gaussian clusters.

    Args:
        latent_dim: width of the latent.
        image_shape: shape of one sample, such as (2,) or (1, 28, 28).
        classes: number of classes of each label; () for a generator without labels.
        width: units of each hidden layer.
        depth: number of hidden layers.

    Raises:
        ValueError: if a size is below 1.
    """

    @checked
    def __init__(
        self,
        latent_dim: Width,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...] = (),
        *,
        width: Width = 512,
        depth: SmallCount = 4,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.layers = _hidden_layers(input_dim(latent_dim, classes), width, depth, image_shape)
        self.layers.append(EqualizedLinear(width, math.prod(image_shape)))
        self.layers.append(nn.Unflatten(1, tuple(image_shape)))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to samples (N, *image_shape)."""
        x: Tensor = self.layers(with_classes(z, c, self.classes))
        return x


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator with equalised learning rate; the mirror of ``MLPGenerator``.

    Args:
        image_shape: shape of one sample, such as (2,) or (1, 28, 28).
        scores: number of scores.
        code_dim: width of the code.
        width: units of each hidden layer; the width of the features.
        depth: number of hidden layers.

    Raises:
        ValueError: if a size is below 1, or a head's below 0.
    """

    @checked
    def __init__(
        self,
        image_shape: tuple[Width, ...],
        scores: HeadWidth = 1,
        code_dim: HeadWidth = 0,
        *,
        width: Width = 512,
        depth: SmallCount = 4,
    ) -> None:
        super().__init__()
        self.layers = _hidden_layers(math.prod(image_shape), width, depth, image_shape)
        self.heads = Heads(width, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of samples (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.layers(x.flatten(1)))
        return output


def _hidden_layers(
    in_features: int, width: int, depth: int, image_shape: tuple[int, ...]
) -> nn.Sequential:
    if not image_shape or min(in_features, width, depth, *image_shape) < 1:
        raise ValueError(
            f"every size must be at least 1: inputs={in_features}, "
            f"image_shape={tuple(image_shape)}, width={width}, depth={depth}"
        )
    layers = nn.Sequential()
    for i in range(depth):
        layers.append(EqualizedLinear(in_features if i == 0 else width, width))
        layers.append(nn.LeakyReLU(0.2))
    return layers
