"""Plain convolutions between blurred changes of resolution (thesis, section 4.3.1).

Defaults give the networks of the thesis for 32x32 images. Layers have an equalised learning rate,
with He's gain √2 in all of them; the image is a linear output.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import input_dim, with_classes
from .discriminator_output import DiscriminatorOutput, Heads
from .layers import Blur, EqualizedConv2d, EqualizedLinear
from .pyramid import BOTTOM, SIDES, pyramid

_conv = partial(EqualizedConv2d, gain=math.sqrt(2))
_linear = partial(EqualizedLinear, gain=math.sqrt(2))


class PlainGenerator(nn.Module):
    """A dense layer to 4x4 feature maps, then a blurred doubling before each two 3x3 convolutions.

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
        max_channels: Width = 1024,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        widths = pyramid(image_shape, channels, max_channels, SIDES)[::-1]
        self.dense = nn.Sequential(
            _linear(input_dim(latent_dim, classes), widths[0] * BOTTOM**2),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.blur = Blur()
        self.blocks = nn.ModuleList(_pair(wide, width, width) for wide, width in pairwise(widths))
        self.draw = _conv(widths[-1], image_shape[0], kernel_size=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        x = self.dense(with_classes(z, c, self.classes))
        for block in self.blocks:
            x = block(self.blur.up(x))
        image: Tensor = self.draw(x)
        return image


class PlainDiscriminator(nn.Module):
    """Two 3x3 convolutions at each resolution, the second of which widens, then a blurred halving.

    The features are the last 4x4 feature maps as they are; the heads are the only dense layers.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving.
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
        max_channels: Width = 1024,
    ) -> None:
        super().__init__()
        widths = pyramid(image_shape, channels, max_channels, SIDES)
        self.read = nn.Sequential(
            _conv(image_shape[0], widths[0], kernel_size=1), nn.LeakyReLU(0.2)
        )
        self.blocks = nn.ModuleList(
            _pair(narrow, narrow, width) for narrow, width in pairwise(widths)
        )
        self.blur = Blur()
        self.heads = Heads(widths[-1] * BOTTOM**2, scores, code_dim, _linear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        x = self.read(x)
        for block in self.blocks:
            x = self.blur.down(block(x))
        output: DiscriminatorOutput = self.heads(x.flatten(1))
        return output


def _pair(first: int, middle: int, last: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(first, middle), nn.LeakyReLU(0.2), _conv(middle, last), nn.LeakyReLU(0.2)
    )
