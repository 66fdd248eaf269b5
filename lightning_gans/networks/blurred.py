"""Residual convolutions between blurred changes of resolution (thesis, section 4.4).

Defaults give the networks of the thesis for 256x256 images. Layers have an equalised
learning rate; the image is a linear output.
"""

from __future__ import annotations

from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import (
    DOWN,
    HALF_POWER,
    UP,
    Blur,
    EqualizedConv2d,
    EqualizedLinear,
    fast_layout,
    step,
    works_at_once,
)
from .piecewise import Move, Piecewise
from .pyramid import BOTTOM, SIDES, pyramid
from .residual_block import layers_of, residual


class BlurredGenerator(nn.Module):
    """One layer from the latent to 4x4 feature maps, then a blurred doubling before each block.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width.

    Raises:
        ValueError: if ``image_shape`` is not supported, or a label has no class.
    """

    @checked
    def __init__(
        self,
        latent_dim: Width,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...] = (),
        *,
        channels: Width = 64,
        max_channels: Width = 512,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        # a transposed convolution of one pixel: a bias for each feature map, not for each place
        self.start = nn.Sequential(
            EqualizedLinear(input_dim(latent_dim, classes), widths[0] * BOTTOM**2, bias=False),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.blocks = nn.ModuleList(
            residual(wide, width) for wide, width in pairwise([widths[0], *widths])
        )
        self.draw = EqualizedConv2d(widths[-1], image_shape[0], kernel_size=1)
        self.blur = Blur()

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        x = fast_layout(self.start(with_classes(z, c, self.classes))) + self.bias
        x = functional.leaky_relu_(x, 0.2)
        layers = [layers_of(block) for block in self.blocks]
        if works_at_once(x, [*chain(*layers), self.draw]):
            moves = []
            for i, (first, rectify, second, last, skip) in enumerate(layers):
                # the skip connection is linear, and cheaper before pixels are doubled
                moves.append(Move(i, (step(skip, HALF_POWER), UP), i + 1))
                main = UP, step(first), step(rectify), step(second, HALF_POWER), step(last)
                moves.append(Move(i, main, i + 1))
            moves.append(Move(len(layers), (step(self.draw),), len(layers) + 1))
            return Piecewise(1, moves)(x).contiguous()
        for block in self.blocks:
            x = block(self.blur.up(x))
        image: Tensor = self.draw(x).contiguous()
        return image


class BlurredDiscriminator(nn.Module):
    """The mirror of ``BlurredGenerator``: a blurred halving after each block, and no dense layer.

    The features are the last 4x4 feature maps as they are.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width.

    Raises:
        ValueError: if ``image_shape`` is not supported, or a head's width is below 0.
    """

    @checked
    def __init__(
        self,
        image_shape: tuple[Width, ...],
        scores: HeadWidth = 1,
        code_dim: HeadWidth = 0,
        *,
        channels: Width = 64,
        max_channels: Width = 512,
    ) -> None:
        super().__init__()
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[:-1]
        self.read = nn.Sequential(
            EqualizedConv2d(image_shape[0], widths[0], kernel_size=1),
            nn.LeakyReLU(0.2),
        )
        self.blocks = nn.ModuleList(
            residual(narrow, width) for narrow, width in pairwise([widths[0], *widths])
        )
        self.blur = Blur()
        self.heads = Heads(widths[-1] * BOTTOM**2, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        x = fast_layout(x)
        layers = [layers_of(block) for block in self.blocks]
        if works_at_once(x, [*self.read, *chain(*layers)]):
            read, rectify = self.read
            moves = [Move(0, (step(read), step(rectify)), 1)]
            for i, (first, rectify, second, last, skip) in enumerate(layers, 1):
                main = step(first), step(rectify), step(second, HALF_POWER), step(last), DOWN
                moves.append(Move(i, main, i + 1))
                # the skip connection is linear, and cheaper with a quarter of the pixels
                moves.append(Move(i, (DOWN, step(skip, HALF_POWER)), i + 1))
            x = Piecewise(1, moves)(x)
        else:
            x = self.read(x)
            for block in self.blocks:
                x = self.blur.down(block(x))
        output: DiscriminatorOutput = self.heads(x.flatten(1))
        return output
