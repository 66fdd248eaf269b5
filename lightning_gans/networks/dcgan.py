"""Strided convolutions with batch norm: DCGAN (Radford et al. 2016), as PyTorch's example has it.

Defaults give the networks of Egan et al. for 64x64 images and a latent of 100 elements. Weights
start at N(0, 0.02), gains of the batch norm at N(1, 0.02). Batch norm makes a sample depend on its
batch in training; a gradient penalty of each sample is then not defined for the discriminator.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .convolution import Conv2d
from .discriminator_output import DiscriminatorOutput, Heads
from .pyramid import BOTTOM, SIDES, pyramid


class DCGANGenerator(nn.Module):
    """Transposed 4x4 convolutions from the latent to a tanh image; all but the first double it.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the last hidden layer, at half the image's resolution; doubles at every
            halving.
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
        # the first width is that of the last hidden layer, not of the image
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        self.up = _start(input_dim(latent_dim, classes), widths[0])
        for wide, width in pairwise(widths):
            self.up.extend([_double(wide, width), nn.BatchNorm2d(width), nn.ReLU()])
        self.up.extend([_double(widths[-1], image_shape[0]), nn.Tanh()])
        self.apply(_initialize)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.up(with_classes(z, c, self.classes))
        return image


class PixelShuffleGenerator(nn.Module):
    """``DCGANGenerator`` whose last hidden layer is a 3x3 convolution and a pixel shuffle.

    The convolution makes four feature maps for each output map; they are interleaved at twice the
    resolution (Shi et al. 2016), where a transposed convolution would see inserted zeros (Egan
    et al., section 4.1.3, who do not state the kernel; the other layers keep their widths).

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the last hidden layer, at half the image's resolution; doubles at every
            halving.
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
        # the first width is that of the last hidden layer, not of the image
        *widths, last = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        self.up = _start(input_dim(latent_dim, classes), widths[0])
        for wide, width in pairwise(widths):
            self.up.extend([_double(wide, width), nn.BatchNorm2d(width), nn.ReLU()])
        self.up.extend(
            [
                Conv2d(widths[-1], 4 * last, 3, padding=1, bias=False),
                nn.PixelShuffle(2),
                nn.BatchNorm2d(last),
                nn.ReLU(),
                _double(last, image_shape[0]),
                nn.Tanh(),
            ]
        )
        self.apply(_initialize)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.up(with_classes(z, c, self.classes))
        return image


class DCGANDiscriminator(nn.Module):
    """The mirror of ``DCGANGenerator``: 4x4 convolutions, each of which halves the resolution.

    The first has no batch norm. The heads are convolutions over whole 4x4 maps, without bias.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: width at half the image's resolution; doubles at every halving.
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
        widths = pyramid(image_shape, channels, max_channels, SIDES)[:-1]
        self.down = nn.Sequential(_halve(image_shape[0], widths[0]), nn.LeakyReLU(0.2))
        for narrow, width in pairwise(widths):
            self.down.extend([_halve(narrow, width), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)])
        self.down.append(nn.Flatten())
        linear = partial(nn.Linear, bias=False)
        self.heads = Heads(widths[-1] * BOTTOM**2, scores, code_dim, linear)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output


def _start(in_features: int, width: int) -> nn.Sequential:
    """From (N, in_features) to (N, width, 4, 4)."""
    return nn.Sequential(
        nn.Unflatten(1, (in_features, 1, 1)),
        nn.ConvTranspose2d(in_features, width, BOTTOM, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def _double(in_channels: int, out_channels: int) -> nn.Module:
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


def _halve(in_channels: int, out_channels: int) -> nn.Module:
    return Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


def _initialize(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, mean=1.0, std=0.02)
