"""Letters that look like MNIST's digits, drawn from fonts that matplotlib installs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import matplotlib
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.utils.data import Dataset

from lightning_gans.data.tensors import Batch, to_signed
from lightning_gans.errors import InputError
from lightning_gans.ood.datasets.corrupted import BORDER
from lightning_gans.ranges import ExampleCount, Padding, Seed, checked
from lightning_gans.rng import stream

LETTERS = "ACEFHJKLMNPRTUVWXYacdefhjkmnprtuvwxy"
"""Without those that look like a digit: D O Q o for 0, I i l for 1, Z z for 2, S s for 5,
G b for 6, B for 8, g q for 9."""

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmb10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
"""Free fonts that matplotlib installs."""

Bytes: TypeAlias = npt.NDArray[np.uint8]

# in pixels, before a letter is scaled down: the font size, and the side of the sheet it is drawn on
_TYPE, _SHEET = 96, 256


class Letters(Dataset[Batch]):
    """Letters, white on black, prepared as MNIST's digits were (LeCun et al. 1998).

    Slightly rotated and slanted, scaled to fit 20×20 pixels with smooth edges, placed in 28×28 by
    their centre of mass, and padded. Image i depends only on the seed and on i. Its label is the
    index of its letter in :data:`LETTERS`; all letters are equally frequent.

    Args:
        n: how many.
        seed: of fonts, angles and slants.
        padding: black pixels on each side of the 28×28, by default to 32×32.
    """

    @checked
    def __init__(
        self, n: ExampleCount = 10_000, seed: Seed = 0, *, padding: Padding = BORDER
    ) -> None:
        if n < 0:
            raise InputError(f"expected at least 0 letters, got {n}")
        self.n, self.seed, self.padding = n, seed, padding

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < self.n:
            raise IndexError(f"expected an index from 0 to {self.n - 1}, got {index}")
        u = torch.rand(3, generator=stream(f"letter {index}", self.seed)).tolist()
        letter = index % len(LETTERS)
        font = FONTS[int(u[0] * len(FONTS))]
        # at most 15 degrees in either direction, and a slant of at most 0.2
        angle, slant = math.radians(30 * u[1] - 15), 0.4 * u[2] - 0.2
        pixels = _drawn(LETTERS[letter], font, angle, slant, self.padding)
        return to_signed(torch.from_numpy(pixels)[None]), torch.tensor(letter)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch."""
        x, y = zip(*(self[index] for index in indices), strict=True)
        return torch.stack(x), torch.stack(y)


@cache
def _sheet(letter: str, font: str) -> Image.Image:
    """A large letter at the centre of a sheet."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    sheet = Image.new("L", (_SHEET, _SHEET))
    middle = (_SHEET / 2, _SHEET / 2)
    ImageDraw.Draw(sheet).text(
        middle, letter, fill=255, font=ImageFont.truetype(str(path), _TYPE), anchor="mm"
    )
    return sheet


def _drawn(letter: str, font: str, angle: float, slant: float, padding: int) -> Bytes:
    """A letter of 28×28 pixels, 0 to 255, and the padding around them."""
    # from a pixel of the result to its place on the sheet: rotated about the centre, then slanted
    c, s, m = math.cos(angle), math.sin(angle), _SHEET / 2
    a, b, d, e = c + slant * s, -s + slant * c, s, c
    matrix = (a, b, m - a * m - b * m, d, e, m - d * m - e * m)
    turned = _sheet(letter, font).transform(
        (_SHEET, _SHEET), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    glyph = turned.crop(turned.getbbox())
    scale = 20 / max(glyph.size)
    width, height = (max(1, round(side * scale)) for side in glyph.size)
    small = np.asarray(glyph.resize((width, height), Image.Resampling.BOX), np.float64)
    rows, columns = np.indices(small.shape)
    weight = small.sum()
    # the centre of 28 pixels is between the 14th and the 15th
    top = round(13.5 - float((rows * small).sum()) / weight)
    left = round(13.5 - float((columns * small).sum()) / weight)
    top, left = min(max(top, 0), 28 - height), min(max(left, 0), 28 - width)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[top : top + height, left : left + width] = small.round()
    return np.pad(pixels, padding)
