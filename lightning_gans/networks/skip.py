"""Convolutions with skips that carry the image itself through every resolution (the thesis's).

Defaults give the published networks for 256x256 images and a latent of 1024 elements (thesis,
section 4.2.1; after Karras et al. 2020, Fig. 7, "output skips" and "input skips").
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import (
    HALF_POWER,
    Blur,
    DownConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    UpConv2d,
    fast_layout,
)
from .pyramid import BOTTOM, pyramid

SIDES = (32, 64, 128, 256, 512, 1024)


class SkipGenerator(nn.Module):
    """Generator whose image is a sum of images, one drawn at each resolution; linear output.

    Two dense layers, of 2 · latent_dim + 8 units and of the 4x4 feature maps, then two convolutions
    at every doubling of the resolution. Layers have an equalised learning rate.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 32, 64, 128, 256, 512 or 1024.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving.
        max_channels: the maximum width.

    Raises:
        ValueError: if ``image_shape`` is not supported.
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
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        self.classes = tuple(classes)
        hidden = 2 * latent_dim + 8
        self.dense = nn.Sequential(
            EqualizedLinear(input_dim(latent_dim, classes), hidden),
            nn.LeakyReLU(0.2, inplace=True),
            EqualizedLinear(hidden, widths[0] * BOTTOM**2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                UpConv2d(wide, width),
                nn.LeakyReLU(0.2, inplace=True),
                EqualizedConv2d(width, width),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for wide, width in pairwise([widths[0], *widths])
        )
        self.draw = nn.ModuleList(
            EqualizedConv2d(width, image_shape[0], kernel_size=1, bias=False)
            for width in [widths[0], *widths]
        )
        self.bias = nn.Parameter(torch.zeros(image_shape[0], 1, 1))
        self.blur = Blur()

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        x: Tensor = fast_layout(self.dense(with_classes(z, c, self.classes)))
        image: Tensor = self.draw[0](x)
        for block, draw in zip(self.blocks, self.draw[1:], strict=True):
            x = block(x)
            image = self.blur.up(image) + draw(x)
        return (image + self.bias).contiguous()


class SkipDiscriminator(nn.Module):
    """Discriminator that sees the image at every resolution; the mirror of ``SkipGenerator``.

    Args:
        image_shape: (image channels, side, side), side 32, 64, 128, 256, 512 or 1024.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving.
        max_channels: the maximum width.
        hidden: units of the dense layer; the width of the features. As wide as the generator's
            in the published networks: 2 · latent_dim + 8.

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
        hidden: Width = 2056,
    ) -> None:
        super().__init__()
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[:-1]
        self.read = nn.Sequential(
            EqualizedConv2d(image_shape[0], widths[0], kernel_size=1),
            nn.LeakyReLU(0.2),
        )
        self.blocks = nn.ModuleList(
            DownBlock(image_shape[0], narrow, width)
            for narrow, width in pairwise([widths[0], *widths])
        )
        self.blur = Blur()
        self.dense = nn.Sequential(
            nn.Flatten(),
            EqualizedLinear(widths[-1] * BOTTOM**2, hidden),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.heads = Heads(hidden, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        image = x = fast_layout(x)
        x = self.read(image)
        for block in self.blocks:
            image = self.blur.down(image)
            x = block(x, image)
        output: DiscriminatorOutput = self.heads(self.dense(x))
        return output


class DownBlock(nn.Module):
    """Two convolutions to half the resolution, where features of the image are added.

    Args:
        image_channels: channels of the image.
        in_channels: width of the input feature maps.
        out_channels: width of the output.
    """

    @checked
    def __init__(self, image_channels: Width, in_channels: Width, out_channels: Width) -> None:
        super().__init__()
        self.main = nn.Sequential(
            EqualizedConv2d(in_channels, out_channels),
            nn.LeakyReLU(0.2, inplace=True),
            DownConv2d(out_channels, out_channels, bias=False),
        )
        self.skip = EqualizedConv2d(image_channels, out_channels, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """Merge feature maps (N, in_channels, 2H, 2W) and an image (N, image_channels, H, W)."""
        first, rectify, second = self.main
        # weights are divided by √2 in place of the sum, which is larger
        x = second(rectify(first(x)), HALF_POWER) + self.skip(image, HALF_POWER)
        return functional.leaky_relu_(x + self.bias, 0.2)
