"""The widths of feature maps between an image and 4x4 pixels."""

from __future__ import annotations

BOTTOM = 4  # side of the coarsest feature maps
SIDES = (16, 32, 64, 128, 256)  # of the images that most networks support


def pyramid(
    image_shape: tuple[int, ...], channels: int, max_channels: int, sides: tuple[int, ...]
) -> list[int]:
    """Widths of the feature maps from the image's resolution down to 4x4, finest first.

    Every halving of the resolution doubles the width, up to ``max_channels``.

    Args:
        image_shape: (image channels, side, side).
        channels: width at the image's resolution.
        max_channels: the maximum width.
        sides: the sides of images that the network supports.

    Raises:
        ValueError: if the image is not a square of one of ``sides``, or a width is below 1.
    """
    if len(image_shape) != 3 or image_shape[1] != image_shape[2] or image_shape[1] not in sides:
        raise ValueError(
            "image_shape must be (channels, side, side) with a side of "
            f"{', '.join(map(str, sides))}; got {tuple(image_shape)}: choose such a "
            "data.resolution, pad the images, or use another network"
        )
    if min(image_shape[0], channels, max_channels) < 1:
        raise ValueError(
            f"channels must be at least 1: image_shape={tuple(image_shape)}, "
            f"channels={channels}, max_channels={max_channels}"
        )
    halvings = (image_shape[1] // BOTTOM).bit_length() - 1
    return [min(max_channels, channels * 2**i) for i in range(halvings + 1)]


def quarter(image_shape: tuple[int, ...], channels: int) -> tuple[int, int]:
    """A quarter of an image's height and width.

    Args:
        image_shape: (image channels, height, width).
        channels: width of the feature maps at the image's resolution.

    Raises:
        ValueError: if height or width is no multiple of 4, or a width is below 1.
    """
    sides = image_shape[1:]
    if len(image_shape) != 3 or any(side < 4 or side % 4 for side in sides):
        raise ValueError(
            "image_shape must be (channels, height, width) with multiples of 4, such as "
            f"(1, 28, 28); got {tuple(image_shape)}: choose such a data.resolution, pad the "
            "images, or use another network"
        )
    if min(image_shape[0], channels) < 1:
        raise ValueError(
            f"channels must be at least 1: image_shape={tuple(image_shape)}, channels={channels}"
        )
    return sides[0] // 4, sides[1] // 4
