"""A generator that learns what each class looks like in a page of a book (thesis, 4.5.4)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked

from .classes import required
from .discriminator_output import DiscriminatorOutput
from .layers import EqualizedConv2d, EqualizedLinear
from .pyramid import BOTTOM, SIDES, pyramid
from .residual import ResidualDiscriminator
from .residual_block import up_residual


class CodebookGenerator(nn.Module):
    """Generator of many labels; each class of each label has a page, learnt feature maps at 4x4.

    The latent makes as many further feature maps; both enter the residual blocks side by side.
    Defaults give the published network for 256x256 images, of any number of labels and classes.
    Its discriminator is ``CodebookDiscriminator``.

    Args:
        latent_dim: width of the latent.
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        classes: number of classes of each label, the same for all of them.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width; twice as many maps, half of them pages, are at 4x4.

    Attributes:
        pages: (labels, classes, elements of a page), N(0, 1) at the start.

    Raises:
        ValueError: if ``image_shape`` is not supported, the labels differ in their number of
            classes, or the feature maps cannot be shared out evenly among the labels.
    """

    @checked
    def __init__(
        self,
        latent_dim: Width,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...],
        *,
        channels: Width = 64,
        max_channels: Width = 512,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if len(set(self.classes)) != 1 or self.classes[0] < 1:
            raise ValueError(
                "a codebook needs at least one label, each of the same number of classes, such "
                f"as classes=(16, 16); got classes={self.classes}"
            )
        # 4x4 is as wide as 8x8
        widths = pyramid(image_shape, channels, max_channels, SIDES)[-2::-1]
        if widths[0] % len(self.classes):
            raise ValueError(
                f"the {widths[0]} feature maps of a codebook's pages cannot be shared out among "
                f"{len(self.classes)} labels; choose channels and max_channels as multiples of it"
            )
        self.dense = nn.Sequential(
            EqualizedLinear(latent_dim, widths[0] * BOTTOM**2),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        page = BOTTOM**2 * widths[0] // len(self.classes)
        self.pages = nn.Parameter(torch.randn(len(self.classes), self.classes[0], page))
        self.up = nn.Sequential(
            *(up_residual(wide, width) for wide, width in pairwise([2 * widths[0], *widths]))
        )
        self.draw = EqualizedConv2d(widths[-1], image_shape[0], kernel_size=1)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N, sum(classes)) to images (N, *image_shape)."""
        open_pages = self.select(required(c, z.shape[0], self.classes))
        image: Tensor = self.draw(self.up(torch.cat([self.dense(z), open_pages], 1)))
        return image

    def select(self, c: Tensor) -> Tensor:
        """The pages at which labels (N, sum(classes)) open the book, as feature maps.

        A soft label mixes its pages. Returns (N, maps, 4, 4), where map i is one of label i modulo
        the number of labels.
        """
        labels, classes, page = self.pages.shape
        maps = torch.einsum("nlk,lkp->nlp", c.reshape(-1, labels, classes), self.pages)
        maps = maps.reshape(-1, labels, page // BOTTOM**2, BOTTOM, BOTTOM)
        return maps.transpose(1, 2).flatten(1, 2)


class CodebookDiscriminator(nn.Module):
    """The discriminator of a ``CodebookGenerator``: it grows with the number of pages (4.5.4).

    A ``ResidualDiscriminator`` with twice as many feature maps at 4x4 as at 8x8, like the
    generator, and two hidden units for each output: for each class of each label.

    Args:
        image_shape: (image channels, side, side), side 16, 32, 64, 128 or 256.
        scores: number of scores, one for each class of each label.
        code_dim: width of the code.
        channels: width of the feature maps at the image's resolution; doubles at every halving
            down to 8x8.
        max_channels: the maximum width; twice as many maps are at 4x4.

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
        # 4x4 is twice as wide as 8x8
        widest = pyramid(image_shape, channels, max_channels, SIDES)[-2]
        self.network = ResidualDiscriminator(
            image_shape,
            scores,
            code_dim,
            channels=channels,
            max_channels=max_channels,
            bottom_channels=2 * widest,
            hidden=max(2 * (scores + code_dim), 1),
        )

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of images (N, *image_shape)."""
        output: DiscriminatorOutput = self.network(x)
        return output
