"""5x5 convolutions for WGAN-GP (Gulrajani et al. 2017), from a study of the latent's size.

Defaults give the networks of "Impact of the latent space on the ability of GANs to fit the
distribution", Table 1, for 64x64 images, and its smaller ones for 32x32. They are large: 2048
feature maps at 4x4 for 64x64 images. Initialisation of Glorot & Bengio 2010.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .convolution import Conv2d
from .discriminator_output import DiscriminatorOutput, Heads
from .initialization import glorot
from .pyramid import BOTTOM, SIDES, pyramid


class WGANGenerator(nn.Module):
    """Nearest-neighbour upsampling and 5x5 convolutions with batch norm; tanh output.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving.
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
        max_channels: Width = 2048,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        widths = pyramid(image_shape, channels, max_channels, SIDES)[::-1]
        # a bias before batch norm has no effect
        self.up = nn.Sequential(
            nn.Linear(input_dim(latent_dim, classes), widths[0] * BOTTOM**2, bias=False),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        for wide, width in pairwise(widths):
            self.up.extend(
                [
                    nn.Upsample(scale_factor=2, mode="nearest"),
                    nn.Conv2d(wide, width, 5, padding=2, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                ]
            )
        self.up.extend([nn.Conv2d(widths[-1], image_shape[0], 5, padding=2), nn.Tanh()])
        self.apply(glorot)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.up(with_classes(z, c, self.classes))
        return image


class WGANCritic(nn.Module):
    """Pairs of 5x5 convolutions, the first of which halves the resolution; no normalisation.

    As wide as ``WGANGenerator`` at every resolution below the image's.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: half the width at half the image's resolution; doubles at every halving.
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
        channels: Width = 128,
        max_channels: Width = 2048,
    ) -> None:
        super().__init__()
        widths = pyramid(image_shape, channels, max_channels, SIDES)[1:]
        self.down = nn.Sequential()
        for narrow, width in pairwise([image_shape[0], *widths]):
            self.down.extend(
                [
                    Conv2d(narrow, width, 5, stride=2, padding=2),
                    nn.LeakyReLU(0.2),
                    Conv2d(width, width, 5, padding=2),
                    nn.LeakyReLU(0.2),
                ]
            )
        self.down.append(nn.Flatten())
        self.heads = Heads(widths[-1] * BOTTOM**2, scores, code_dim)
        self.apply(glorot)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output
