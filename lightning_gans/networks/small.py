"""Convolutions for digits: two resolutions above feature maps of a quarter of the side.

Defaults give the networks with which the thesis learns and finds classes of 28x28 digits (sections
4.1 and 4.5.2). Layers have an equalised learning rate; the image is a linear output.
"""

from __future__ import annotations

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import DownConv2d, EqualizedConv2d, EqualizedLinear, UpConv2d
from .pyramid import quarter


class SmallGenerator(nn.Module):
    """A dense layer, then twice: a doubling of the resolution and two 3x3 convolutions.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, height, width), height and width multiples of 4.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; twice that below.

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
        wide = 2 * channels
        self.dense = nn.Sequential(
            EqualizedLinear(input_dim(latent_dim, classes), wide * height * width),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (wide, height, width)),
        )
        self.up = nn.Sequential(*_up(wide, wide), *_up(wide, channels))
        self.draw = EqualizedConv2d(channels, image_shape[0], kernel_size=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.draw(self.up(self.dense(with_classes(z, c, self.classes))))
        return image


class SmallDiscriminator(nn.Module):
    """Twice: two 3x3 convolutions and a halving of the resolution; then one more convolution.

    Args:
        image_shape: (image channels, height, width), height and width multiples of 4.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; twice that below.
        hidden: units of a dense layer before the heads, 512 in section 4.1 (unless
            ``BatchStdDiscriminator`` brings its own); None for no such layer, as in 4.5.2.

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
        hidden: Width | None = None,
    ) -> None:
        super().__init__()
        height, width = quarter(image_shape, channels)
        wide = 2 * channels
        self.down = nn.Sequential(
            EqualizedConv2d(image_shape[0], channels, kernel_size=1),
            nn.LeakyReLU(0.2),
            *_down(channels, channels),
            *_down(channels, wide),
            EqualizedConv2d(wide, wide),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        features = wide * height * width
        if hidden is not None:
            self.down.extend([EqualizedLinear(features, hidden), nn.LeakyReLU(0.2)])
            features = hidden
        self.heads = Heads(features, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output


def _up(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        UpConv2d(in_channels, out_channels, kernel_size=2),
        nn.LeakyReLU(0.2),
        EqualizedConv2d(out_channels, out_channels),
        nn.LeakyReLU(0.2),
        EqualizedConv2d(out_channels, out_channels),
        nn.LeakyReLU(0.2),
    ]


def _down(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        EqualizedConv2d(in_channels, out_channels),
        nn.LeakyReLU(0.2),
        EqualizedConv2d(out_channels, out_channels),
        nn.LeakyReLU(0.2),
        DownConv2d(out_channels, out_channels, kernel_size=2),
        nn.LeakyReLU(0.2),
    ]
