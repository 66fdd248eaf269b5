"""Convolutions with a style, and their counterpart that reads codes (thesis, section 4.3.3).

Defaults give the published networks of AnoDLSGAN for 128x128 faces and a latent of 512 elements.
Layers have an equalised learning rate; feature maps are multiplied by √2 after most rectifiers.
The generator is like that of StyleGAN2 (Karras et al. 2020), without demodulation, noise and
mixed styles.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .convolution import convolve, convolve_transposed
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import (
    HALF_POWER,
    Blur,
    EqualizedConv2d,
    EqualizedConvolution,
    EqualizedLinear,
    fast_layout,
)
from .pyramid import BOTTOM, SIDES, pyramid

ROOT_2 = math.sqrt(2)
# relative learning rate of the layers that make styles (Karras et al. 2019, appendix C)
STYLE_RATE = 0.01


class StyleGenerator(nn.Module):
    """Feature maps that are learnt, not drawn, and scaled at every layer by a style of the latent.

    Two dense layers make the style. Then two modulated convolutions at every doubling of the
    resolution, from 4x4 on; the image is a sum of images, one drawn at each resolution.

    Args:
        latent_dim: width of the latent, and of the style.
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
        channels: Width = 128,
        max_channels: Width = 512,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        self.style = nn.Sequential(
            EqualizedLinear(input_dim(latent_dim, classes), latent_dim, rate=STYLE_RATE),
            nn.LeakyReLU(0.2, inplace=True),
            EqualizedLinear(latent_dim, latent_dim, rate=STYLE_RATE),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.start = nn.Parameter(torch.randn(widths[0], BOTTOM, BOTTOM))
        steps = list(pairwise([widths[0], *widths]))
        self.up = nn.ModuleList(ModulatedUpConv2d(a, b, latent_dim) for a, b in steps)
        self.same = nn.ModuleList(ModulatedConv2d(b, b, latent_dim) for _, b in steps)
        self.draw = nn.ModuleList(
            EqualizedConv2d(width, image_shape[0], kernel_size=1, bias=i == 0)
            for i, width in enumerate([widths[0], *widths])
        )
        self.blur = Blur()

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        style: Tensor = self.style(with_classes(z, c, self.classes))
        x = fast_layout(self.start.expand(z.shape[0], -1, -1, -1))
        image: Tensor = self.draw[0](x)
        for up, same, draw in zip(self.up, self.same, self.draw[1:], strict=True):
            x = functional.leaky_relu_(up(x, style), 0.2)
            x = functional.leaky_relu_(same(x, style), 0.2)
            image = self.blur.up(image) + draw(x)
        return image.contiguous()


class Modulated(nn.Module, ABC):
    """A 3x3 convolution whose input channels are scaled by a style; its output is times √2.

    The scales are a linear function of the style that starts with the mean 0. They are not
    divided out again (no "demodulation"), as in the thesis's code.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        style_dim: width of the style.
    """

    # samples of the convolved feature maps for each that is not zero by construction
    samples: ClassVar[int] = 1

    @checked
    def __init__(self, in_channels: Width, out_channels: Width, style_dim: Width) -> None:
        super().__init__()
        self.scale = EqualizedLinear(style_dim, in_channels, rate=STYLE_RATE)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))
        # the input is scaled anyway: with it the weights' multiplier and the gain of the output
        self.multiplier = self.samples * ROOT_2 / math.sqrt(9 * in_channels)

    @abstractmethod
    def convolve(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to the feature maps of the output, without the bias."""

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) and styles (N, style_dim) to feature maps of the output."""
        scale = self.scale(style) * self.multiplier
        # a rectifier maps √2 times its input to √2 times its output
        return self.convolve(x * scale[:, :, None, None]) + ROOT_2 * self.bias


class ModulatedConv2d(Modulated):
    """Keeps the resolution."""

    def convolve(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, padding=1)


class ModulatedUpConv2d(Modulated):
    """Doubles the resolution: zeros between the pixels, the convolution, and a blur."""

    samples = 4

    def __init__(self, in_channels: Width, out_channels: Width, style_dim: Width) -> None:
        super().__init__(in_channels, out_channels, style_dim)
        self.blur = Blur()

    def convolve(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = convolve_transposed(x, self.weight.transpose(0, 1), stride=2)
        y: Tensor = self.blur(x[..., : 2 * height, : 2 * width])
        return y


class StyleDiscriminator(nn.Module):
    """Two convolutions at every halving of the resolution, and a linear skip; no dense layer.

    The features are the last 4x4 feature maps as they are. Half-way through a block the maps are as
    wide as the generator's, at its end twice as wide, and at least ``max_channels``. Only the skip
    is divided by √2, so that feature maps grow with depth. Both are as in the published code, which
    may have meant otherwise.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width within a block, and half the maximum at its end.

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
        channels: Width = 128,
        max_channels: Width = 512,
    ) -> None:
        super().__init__()
        widths = pyramid(image_shape, channels, max_channels, SIDES)[:-1]
        ends = [max(2 * width, max_channels) for width in widths]
        self.read = EqualizedConv2d(image_shape[0], widths[0], kernel_size=1)
        self.blocks = nn.ModuleList(
            StyleDownBlock(first, width, last)
            for first, width, last in zip([widths[0], *ends], widths, ends, strict=False)
        )
        self.heads = Heads(ends[-1] * BOTTOM**2, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        x = functional.leaky_relu_(self.read(fast_layout(x), ROOT_2), 0.2)
        for block in self.blocks:
            x = block(x)
        output: DiscriminatorOutput = self.heads(x.flatten(1))
        return output


class StyleDownBlock(nn.Module):
    """Two convolutions to half the resolution, and a skip.

    Args:
        in_channels: width of the input feature maps.
        channels: width between the convolutions.
        out_channels: width of the output.
    """

    @checked
    def __init__(self, in_channels: Width, channels: Width, out_channels: Width) -> None:
        super().__init__()
        self.first = EqualizedConv2d(in_channels, channels)
        self.second = HalvingConv2d(channels, out_channels)
        self.skip = EqualizedConv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W), even H and W, to (N, out_channels, H / 2, W / 2)."""
        y = functional.leaky_relu_(self.first(x, ROOT_2), 0.2)
        y = functional.leaky_relu_(self.second(y), 0.2)
        z: Tensor = y + self.skip(self.blur.down(x), HALF_POWER)
        return z


class HalvingConv2d(EqualizedConvolution):
    """Halves the resolution: a blur, then the 3x3 kernel at stride 2."""

    @checked
    def __init__(self, in_channels: Width, out_channels: Width) -> None:
        super().__init__(in_channels, out_channels)
        self.blur = Blur()

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Map (N, in_channels, H, W), even H and W, to (N, out_channels, H / 2, W / 2)."""
        weight, bias = self.weight * (factor * self.multiplier), self.scaled_bias(factor)
        return convolve(self.blur(x), weight, bias, stride=2, padding=1)
