"""Convolutions with instance norm, for digits whose latents are recovered.

Defaults give the networks of Cho, "Statistical Distance Latent Regulation Loss for Latent Vector
Recovery", for 28x28 digits. 3x3 convolutions have no bias, and their rectifier precedes their norm.
Initialisation of Glorot & Bengio 2010.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .convolution import Conv2d
from .discriminator_output import DiscriminatorOutput, Heads
from .initialization import glorot
from .pyramid import quarter


class InstanceNormGenerator(nn.Module):
    """A dense layer, then twice: nearest-neighbour upsampling and three 3x3 convolutions; tanh.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, height, width), height and width multiples of 4.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving.

    Raises:
        ValueError: if ``image_shape`` is not supported, a width is below 1, or a label
            has no class.
    """

    @checked
    def __init__(
        self,
        latent_dim: Width,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...] = (),
        *,
        channels: Width = 128,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        height, width = quarter(image_shape, channels)
        wide = 4 * channels
        self.up = nn.Sequential(
            nn.Linear(input_dim(latent_dim, classes), wide * height * width),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (wide, height, width)),
            _norm(wide),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_three(wide, 2 * channels),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_three(2 * channels, channels),
            nn.Conv2d(channels, image_shape[0], 1),
            nn.Tanh(),
        )
        self.apply(glorot)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.up(with_classes(z, c, self.classes))
        return image


class InstanceNormDiscriminator(nn.Module):
    """The mirror of ``InstanceNormGenerator``, with 2x2 average pooling.

    Args:
        image_shape: (image channels, height, width), height and width multiples of 4.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving.

    Raises:
        ValueError: if ``image_shape`` is not supported, or a width is below 1 (of a head, below 0).
    """

    @checked
    def __init__(
        self,
        image_shape: tuple[Width, ...],
        scores: HeadWidth = 1,
        code_dim: HeadWidth = 0,
        *,
        channels: Width = 128,
    ) -> None:
        super().__init__()
        height, width = quarter(image_shape, channels)
        self.down = nn.Sequential(
            *_convolution(image_shape[0], channels),
            nn.AvgPool2d(2),
            *_three(channels, 2 * channels),
            nn.AvgPool2d(2),
            *_three(2 * channels, 4 * channels),
            nn.Flatten(),
        )
        self.heads = Heads(4 * channels * height * width, scores, code_dim)
        self.apply(glorot)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    convolution = Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return [convolution, nn.LeakyReLU(0.2), _norm(out_channels)]


def _three(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        *_convolution(in_channels, out_channels),
        *_convolution(out_channels, out_channels),
        *_convolution(out_channels, out_channels),
    ]


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, eps=1e-3, affine=True)
