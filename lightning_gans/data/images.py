"""Image files as tensors: finding, decoding to 8 bits, cropping, resizing, scaling."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.tensors import Batch, to_signed

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

# no other format is decoded, whatever the file's name: some start other programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

Crop = Literal["center", "none"] | tuple[int, int, int, int]
"""The part of an image to keep: the largest centred square, the whole image (squashed to a square),
or all but (left, top, right, bottom) pixels. Data modules refuse negative margins; for
:class:`ImageFiles`, they add black pixels."""


def find_images(root: Path) -> list[str]:
    """Names of all images below ``root``, relative to it, with "/", sorted; links are followed.

    Files and folders whose names start with a dot are left out.
    """
    names: list[str] = []
    visited: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        # a link to a parent folder would never end
        if (real := os.path.realpath(folder)) in visited:
            below.clear()
            continue
        visited.add(real)
        below[:] = [name for name in below if not name.startswith(".")]
        inside = Path(folder).relative_to(root)
        names += [
            (inside / name).as_posix()
            for name in files
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(names)


def open_image(path: str | Path) -> Image.Image:
    """Decode a whole file to mode "L" or "RGB", upright.

    The EXIF orientation is applied, 16-bit grey is scaled to 8 bits (v / 257, rounded), and
    transparent parts become white. Of several frames, it is the first one.

    Raises:
        Exception: whatever the decoder raises for a damaged file.
        ValueError: if the pixels have no known range (32-bit floats or integers).
    """
    with Image.open(path, formats=FORMATS) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode == "F":
        raise ValueError("pixels are 32-bit floats, whose range is unknown")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips at 255 instead of scaling
        grey = np.asarray(image).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("pixels are 32-bit integers, whose range is unknown")
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "L" else image.convert("RGB")


def check_geometry(resolution: int, crop: Crop) -> None:
    """Refuse a resolution or margins that are valid for no image.

    Raises:
        ValueError: if ``resolution`` is below 1, or a margin is negative.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, got {resolution}")
    if isinstance(crop, str):
        if crop not in {"center", "none"}:
            raise ValueError(f'crop must be "center", "none" or four margins, got "{crop}"')
    elif len(crop) != 4 or min(crop) < 0:
        raise ValueError(
            f"crop margins must be (left, top, right, bottom), all at least 0, got {tuple(crop)}"
        )


def crop_box(size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) that ``crop`` keeps of an image of (width, height).

    >>> crop_box((6, 3), "center")
    (1, 0, 4, 3)

    Raises:
        ValueError: if nothing is left.
    """
    width, height = size
    if crop == "none":
        return 0, 0, width, height
    if crop == "center":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    left, top, right, bottom = crop
    if left + right >= width or top + bottom >= height:
        raise ValueError(f"crop {tuple(crop)} leaves nothing of {width} x {height} pixels")
    return left, top, width - right, height - bottom


class ImageFiles(Dataset[Batch]):
    """Images that are decoded from their files on each access; float32 in [-1, 1].

    Args:
        paths: the files.
        labels: (n,) or (n, attributes), int64.
        resolution: height and width after resizing (cubic, antialiased), in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: the part that is kept before resizing.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Tensor,
        *,
        resolution: int,
        channels: Literal[1, 3] = 3,
        crop: Crop = "center",
    ) -> None:
        if len(paths) != len(labels):
            raise ValueError(f"{len(paths)} images but {len(labels)} labels")
        self.paths = paths
        self.labels = labels
        self.resolution = resolution
        self.channels = channels
        self.crop = crop

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        return to_signed(self._pixels(index)), self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, scaled at once."""
        pixels = torch.stack([self._pixels(index) for index in indices])
        return to_signed(pixels), self.labels[torch.as_tensor(indices)]

    def _pixels(self, index: int) -> Tensor:
        image = open_image(self.paths[index])
        image = image.convert("L" if self.channels == 1 else "RGB")
        # cropped first, because resizing with a box uses pixels outside of it
        image = image.crop(crop_box(image.size, self.crop))
        image = image.resize((self.resolution, self.resolution), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image))
        return pixels.view(self.resolution, self.resolution, self.channels).permute(2, 0, 1)
