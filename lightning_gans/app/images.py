"""Images of the page: what a model takes of an upload, and what a browser is shown."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightning_gans.data.images import LARGE, Crop, declared_size, why_unreadable
from lightning_gans.errors import InputError
from lightning_gans.metrics import PSNR, to_uint8
from lightning_gans.ood.folder_images import PreparedImages

Pixels: TypeAlias = npt.NDArray[np.uint8]

# an upload with more pixels than this is not decoded
MOST_PIXELS = LARGE
# images are enlarged by a whole factor to about this side, in pixels
SIDE = 320


class Preparation(NamedTuple):
    """How the images that a model was trained on were prepared.

    Attributes:
        crop: the part of an image that was kept.
        padding: black pixels that were added on each side.
    """

    crop: Crop = "center"
    padding: int = 0


def picture(x: Tensor) -> Pixels:
    """The first image of a batch in [-1, 1] as an array, uint8 (height, width, 3)."""
    channels_last = to_uint8(x)[0].expand(3, -1, -1).permute(1, 2, 0)
    return channels_last.cpu().numpy()


def enlarged(pixels: Pixels) -> Pixels:
    """An image as it is shown: by a whole factor larger, so that its pixels stay what they are."""
    factor = max(1, SIDE // max(pixels.shape[:2]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def prepare(path: str, image_shape: tuple[int, ...], preparation: Preparation) -> Tensor:
    """An image file as a batch of one, as the images that the model was trained on.

    Args:
        path: of the file.
        image_shape: of the model, (channels, side, side).
        preparation: of its data.

    Raises:
        InputError: if the file cannot be decoded, or has more than ``MOST_PIXELS`` pixels.
    """
    try:
        width, height = declared_size(path)
    # decoders raise almost anything for damaged files
    except Exception as error:
        raise InputError(f"this image cannot be read: {why_unreadable(path, error)}") from error
    if width * height > MOST_PIXELS:
        raise InputError(
            f"this image has {width:,} x {height:,} pixels; give one of at most "
            f"{MOST_PIXELS / 1e6:g} megapixels"
        )
    channels: Literal[1, 3] = 1 if image_shape[0] == 1 else 3
    images = PreparedImages([path], image_shape[1], channels, *preparation)
    try:
        return images[0][0][None]
    except InputError as error:
        why = getattr(error, "why", None) or str(error)
        raise InputError(f"this image cannot be read: {why}") from error


def psnr(x: Tensor, made: Tensor) -> float:
    """The peak signal-to-noise ratio of an image x and one that was made like it, in decibels."""
    measure = PSNR()
    measure.update(x, made.cpu())
    return float(measure.compute())
