"""Random changes of the images that a discriminator sees, through which gradients flow.

With few images a discriminator learns them by heart, and the generator learns nothing more. If it
sees real images x and fakes y only as T(x) and T(y), with a random T, it has more images to learn
from; because the generator's gradient flows through T, the fakes do not look augmented (Zhao et al.
2020, section 3.2).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.ranges import Angle, ClosedUnitInterval, ProperFraction, checked


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


class IdentityPreserving(Augmentation):
    """Rotation, zoom, translation, mirroring and gamma: changes that leave the object what it is.

    For the contrastive loss of Elastic InfoGAN (Ojha et al. 2020), whose classes are what such
    changes preserve: a digit rotated by 180° may be another one. The defaults are those of the
    authors' code for digits, which also distorts them a little. For other images there are
    mirroring, gamma and crops, which are a zoom with a translation. Between pixels values are
    interpolated linearly; outside they are those of the nearest pixel at the edge.

    Args:
        rotation: the largest angle in either direction, in degrees.
        zoom: sizes are multiplied by 1 ± zoom.
        translation: the farthest shift in each direction as a fraction of the side.
        mirror: the probability that left and right are exchanged.
        gamma: brightness in [0, 1] is raised to the power of 1 ± gamma.

    Raises:
        ValueError: if an argument is out of its range.
    """

    draws = 6

    @checked
    def __init__(
        self,
        rotation: Angle = 20.0,
        zoom: ProperFraction = 0.1,
        translation: ClosedUnitInterval = 0.0,
        mirror: ClosedUnitInterval = 0.0,
        gamma: ProperFraction = 0.0,
    ) -> None:
        self.rotation, self.zoom, self.translation = rotation, zoom, translation
        self.mirror, self.gamma = mirror, gamma

    def __call__(self, x: Tensor, u: Tensor) -> Tensor:
        """Change images.

        Args:
            x: (n, channels, height, width).
            u: (n, 6): for the rotation, the zoom, the translation down and to the right, the
                mirror image and the gamma.

        Raises:
            InputError: if x are no images.
        """
        if x.ndim != 4:
            raise InputError(
                "IdentityPreserving changes images (n, channels, height, width), got examples of "
                f"shape {tuple(x.shape[1:])}; leave it out"
            )
        # half precision cannot tell a pixel from the next one in large images
        dtype, wide = x.dtype, torch.promote_types(x.dtype, torch.float32)
        u = u.to(wide)
        turn, size, down, right, _, power = (2 * u - 1).unbind(1)
        height, width = x.shape[2:]
        angle, size = turn * math.radians(self.rotation), 1 + self.zoom * size
        flip = torch.where(u[:, 4] < self.mirror, -1.0, 1.0).to(wide)
        # where each pixel comes from, measured from the middle of the image: (n, height, width)
        rows, columns = (
            torch.arange(side, device=x.device, dtype=wide) - (side - 1) / 2
            for side in (height, width)
        )
        rows = rows[:, None] - (self.translation * height * down)[:, None, None]
        columns = columns - (self.translation * width * right)[:, None, None]
        cos, sin = (angle.cos() / size)[:, None, None], (angle.sin() / size)[:, None, None]
        from_row = cos * rows - sin * columns
        from_column = (sin * rows + cos * columns) * flip[:, None, None]
        x = sample(x, from_row + (height - 1) / 2, from_column + (width - 1) / 2)
        if self.gamma:
            # the slope of a power is infinite at 0
            light = ((x + 1) / 2).clamp(min=1e-4)
            x = 2 * light ** (1 + self.gamma * power).view(-1, 1, 1, 1) - 1
        return x.to(dtype)


def sample(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Images at places between their pixels, interpolated linearly; differentiable by x twice.

    (``grid_sample`` has no second derivative.)

    Args:
        x: (n, channels, height, width).
        rows: of the places, (n, h, w), 0 for the first; beyond an edge they are moved to it.
        columns: likewise.

    Returns:
        (n, channels, h, w).
    """
    n, channels, height, width = x.shape
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    flat = x.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = row.clamp(max=height - 1).long() * width + column.clamp(max=width - 1).long()
        values = flat.gather(2, index.view(n, 1, -1).expand(-1, channels, -1))
        return values.view(n, channels, *index.shape[1:])

    above = (1 - right) * at(top, left) + right * at(top, left + 1)
    below = (1 - right) * at(top + 1, left) + right * at(top + 1, left + 1)
    return (1 - down) * above + down * below


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
