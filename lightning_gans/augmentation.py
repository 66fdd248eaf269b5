"""Random changes of the images that a discriminator sees, through which gradients flow.

With few images a discriminator learns them by heart, and the generator learns nothing more. If it
sees real images x and fakes y only as T(x) and T(y), with a random T, it has more images to learn
from; because the generator's gradient flows through T, the fakes do not look augmented (Zhao et al.
2020, section 3.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ranges import ClosedUnitInterval, checked


class Augmentation(ABC):
    """Abstract: a random change T of images, differentiable, twice if there are gradient penalties.

    Attributes:
        draws: how many random numbers the change of one image takes.
    """

    draws: ClassVar[int]

    @abstractmethod
    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """Change images.

        Args:
            x: (n, channels, height, width); fakes may leave [-1, 1].
            u: (n, draws), uniform in [0, 1), float32; equal numbers change images equally.

        Returns:
            As x.
        """


AugmentationFactory: TypeAlias = Callable[[], Augmentation]


class NoAugmentation(Augmentation):
    """Images as they are."""

    draws = 0

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        return x


class DiffAugment(Augmentation):
    """Colour, translation and cutout, in this order (Zhao et al. 2020, section 4 and appendix).

    With the defaults it is the authors' policy ``color,translation,cutout``. What a translation
    uncovers and what is cut out becomes 0, mid-grey.

    Args:
        color: strength of the changes of colour, in [0, 1]. Brightness: a number up to color / 2 is
            added or subtracted. Saturation: differences from the mean of a pixel's channels are
            multiplied by 1 ± color; no change of grey images. Contrast: differences from the mean
            of the image by 1 ± color / 2.
        translation: the farthest shift in each direction as a fraction of the side, in whole
            pixels.
        cutout: side of the square that is cut out as a fraction of the image's. Its centre is
            anywhere in the image, so that a part of it may be outside.

    Raises:
        ValueError: if an argument is not in [0, 1].

    Example:
        >>> augmentation = DiffAugment(color=0.0, translation=0.0, cutout=0.5)
        >>> augmentation(torch.ones(1, 1, 4, 4), torch.full((1, 7), 0.5))
        tensor([[[[1., 1., 1., 1.],
                  [1., 0., 0., 1.],
                  [1., 0., 0., 1.],
                  [1., 1., 1., 1.]]]])
    """

    draws = 7

    @checked
    def __init__(
        self,
        color: ClosedUnitInterval = 1.0,
        translation: ClosedUnitInterval = 0.125,
        cutout: ClosedUnitInterval = 0.5,
    ) -> None:
        self.color, self.translation, self.cutout = color, translation, cutout

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """Change images.

        Args:
            x: (n, channels, height, width).
            u: (n, 7): for brightness, saturation, contrast, the translation down and to the right,
                and the cutout's row and column.

        Raises:
            InputError: if x are no images.
        """
        if x.ndim != 4:
            raise InputError(
                "DiffAugment changes images (n, channels, height, width), got examples of shape "
                f"{tuple(x.shape[1:])}; leave out model.augmentation"
            )
        if self.color:
            x = recolor(x, *(self.color * (2 * u[:, :3] - 1)).to(x.dtype).unbind(1))
        height, width = x.shape[2:]
        if self.translation:
            down = below(2 * pixels(height, self.translation) + 1, u[:, 3])
            right = below(2 * pixels(width, self.translation) + 1, u[:, 4])
            x = translate(
                x, down - pixels(height, self.translation), right - pixels(width, self.translation)
            )
        if self.cutout:
            rows, columns = pixels(height, self.cutout), pixels(width, self.cutout)
            # an even square has no middle row: its centre is between two rows, or at an edge
            top = below(height + 1 - rows % 2, u[:, 5]) - rows // 2
            left = below(width + 1 - columns % 2, u[:, 6]) - columns // 2
            x = x * (1 - square(x, top, rows, 2) * square(x, left, columns, 3))
        return x


def recolor(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    """Images in other colours; each change is (n,), in [-1, 1], and 0 changes nothing."""
    brightness, saturation, contrast = (
        change.view(-1, 1, 1, 1) for change in (brightness, saturation, contrast)
    )
    x = x + brightness / 2
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + saturation)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (1 + contrast / 2)


def translate(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Images shifted by whole pixels, (n,) each; what is uncovered is 0."""
    for axis, shift in ((2, down), (3, right)):
        side = x.shape[axis]
        source = torch.arange(side, device=x.device) - shift[:, None]
        shape = [len(x), 1, 1, 1]
        shape[axis] = side
        index = source.clamp(0, side - 1).view(shape).expand_as(x)
        inside = ((source >= 0) & (source < side)).to(x.dtype).view(shape)
        x = x.gather(axis, index) * inside
    return x


def square(x: Tensor, start: Tensor, side: int, axis: int) -> Tensor:
    """1 from ``start`` on, (n,), for ``side`` pixels along an axis of x, and 0 elsewhere."""
    place = torch.arange(x.shape[axis], device=x.device) - start[:, None]
    shape = [len(x), 1, 1, 1]
    shape[axis] = x.shape[axis]
    return ((place >= 0) & (place < side)).to(x.dtype).view(shape)


def pixels(side: int, fraction: float) -> int:
    """A fraction of a side in whole pixels, rounded."""
    return int(side * fraction + 0.5)


def below(count: int, u: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) as whole numbers from 0 to count - 1, equally likely."""
    # a number just below 1 times count may be rounded to count
    return (u * count).long().clamp(max=count - 1)
