"""Plain strided convolutions in the manner of DCGAN (Radford et al. 2016), without batch norm."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .convolution import Conv2d
from .discriminator_output import DiscriminatorOutput, Heads
from .pyramid import BOTTOM, SIDES, pyramid

_SLOPE = 0.2


class ConvGenerator(nn.Module):
    """Transposed 4x4 convolutions, each of which doubles the resolution; tanh output.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving.
        max_channels: the maximum width.
        hidden: width of the layer between the latent and the first feature maps.

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
        channels: Width = 16,
        max_channels: Width = 512,
        hidden: Width = 256,
    ) -> None:
        super().__init__()
        widths = pyramid(image_shape, channels, max_channels, SIDES)[::-1]
        self.classes = tuple(classes)
        # a hidden layer on either side mixes the latent: with it training is far quicker
        self.dense = nn.Sequential(
            nn.Linear(input_dim(latent_dim, classes), hidden),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(hidden, widths[0] * BOTTOM**2),
            nn.LeakyReLU(_SLOPE),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.up = nn.Sequential()
        for wide, width in pairwise(widths):
            self.up.append(nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1))
            self.up.append(nn.LeakyReLU(_SLOPE))
        self.draw = nn.Conv2d(widths[-1], image_shape[0], kernel_size=1)
        self.apply(_initialize)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        # channels last in memory: narrow feature maps are a third faster this way on a CPU
        x = self.dense(with_classes(z, c, self.classes)).contiguous(
            memory_format=torch.channels_last
        )
        image: Tensor = self.draw(self.up(x))
        # a linear output, as the thesis's own networks have, paints black backgrounds grey
        return image.contiguous().tanh()


class ConvDiscriminator(nn.Module):
    """Discriminator of convolutions 4x4, each halving the resolution.

    As wide as ``ConvGenerator`` at every resolution below the image's, where it does not stay:
    its first convolution already halves it.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: half the width of the feature maps at half the image's resolution; doubles at
            every halving.
        max_channels: the maximum width.
        hidden: width of the layer before the heads.

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
        channels: Width = 16,
        max_channels: Width = 512,
        hidden: Width = 256,
    ) -> None:
        super().__init__()
        widths = pyramid(image_shape, channels, max_channels, SIDES)[1:]
        self.down = nn.Sequential()
        for narrow, width in pairwise([image_shape[0], *widths]):
            self.down.append(Conv2d(narrow, width, 4, stride=2, padding=1))
            self.down.append(nn.LeakyReLU(_SLOPE))
        self.down.append(nn.Flatten())
        self.down.append(nn.Linear(widths[-1] * BOTTOM**2, hidden))
        self.down.append(nn.LeakyReLU(_SLOPE))
        self.down.apply(_initialize)
        self.heads = Heads(hidden, scores, code_dim)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output


def _initialize(layer: nn.Module) -> None:
    """He initialisation for leaky rectifiers; biases start at 0."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        fan_in = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):
            # at stride 2 a pixel meets every second row and column of the kernel
            fan_in = layer.in_channels * math.prod(layer.kernel_size) // math.prod(layer.stride)
        nn.init.normal_(layer.weight, std=math.sqrt(2 / (1 + _SLOPE**2) / fan_in))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
