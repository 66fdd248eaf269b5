"""Residual convolutions that halve or double the resolution (the thesis's for animal faces).

Defaults give the published networks for 256x256 images (thesis, section 4.5.3). With
``bottom_channels=1024`` and ``hidden=None`` the generator is the one that the codebook is compared
with (section 4.5.4); ``CodebookDiscriminator`` is the discriminator of both. Layers have an
equalised learning rate; the image is a linear output.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import EqualizedConv2d, EqualizedLinear
from .pyramid import BOTTOM, SIDES, pyramid
from .residual_block import down_residual, up_residual


class ResidualGenerator(nn.Module):
    """Dense layers to 4x4 feature maps, then a residual block at every doubling of the resolution.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label; () for a generator without labels.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width.
        bottom_channels: width at 4x4; None for that at 8x8.
        hidden: units of a layer before the 4x4 feature maps; None for no such layer.

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
        bottom_channels: Width | None = None,
        hidden: Width | None = 2048,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        bottom = widths[0] if bottom_channels is None else bottom_channels
        inputs = input_dim(latent_dim, classes)
        self.dense = nn.Sequential()
        if hidden is not None:
            self.dense.extend([EqualizedLinear(inputs, hidden), nn.LeakyReLU(0.2)])
        self.dense.extend(
            [
                EqualizedLinear(inputs if hidden is None else hidden, bottom * BOTTOM**2),
                nn.LeakyReLU(0.2),
                nn.Unflatten(1, (bottom, BOTTOM, BOTTOM)),
            ]
        )
        self.up = nn.Sequential(
            *(up_residual(wide, width) for wide, width in pairwise([bottom, *widths]))
        )
        self.draw = EqualizedConv2d(widths[-1], image_shape[0], kernel_size=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        image: Tensor = self.draw(self.up(self.dense(with_classes(z, c, self.classes))))
        return image


class ResidualDiscriminator(nn.Module):
    """The mirror of ``ResidualGenerator``, with one more convolution at 4x4.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width.
        bottom_channels: width of the last convolution; None for that at 8x8.
        hidden: units of the dense layer, the width of the features; None for no such layer.

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
        bottom_channels: Width | None = None,
        hidden: Width | None = 2048,
    ) -> None:
        super().__init__()
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[:-1]
        bottom = widths[-1] if bottom_channels is None else bottom_channels
        self.down = nn.Sequential(
            EqualizedConv2d(image_shape[0], widths[0], kernel_size=1),
            nn.LeakyReLU(0.2),
            *(down_residual(narrow, width) for narrow, width in pairwise([widths[0], *widths])),
            EqualizedConv2d(widths[-1], bottom),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        features = bottom * BOTTOM**2
        if hidden is not None:
            self.down.extend([EqualizedLinear(features, hidden), nn.LeakyReLU(0.2)])
            features = hidden
        self.heads = Heads(features, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.heads(self.down(x))
        return output
