"""Tables of images with labels, drawn with Pillow, which starts faster than matplotlib."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from lightning_gans.data.images import MAX_PIXELS
from lightning_gans.errors import InputError
from lightning_gans.metrics import to_uint8
from lightning_gans.text import printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# smaller images are enlarged by a whole factor to about this side, in pixels
SIDE = 96
# between images, around the table, and around a marked image
GAP, MARGIN, FRAME = 4, 8, 2
TEXT = 12
# as wide as a plus, unlike the hyphen
MINUS = "\u2212"
INK, BACKGROUND, MARK = "#222222", "#ffffff", "#e07020"


def draw_table(
    images: Tensor,
    headings: Sequence[str],
    labels: Sequence[str] = (),
    marked: Collection[int] = (),
    label_width: int = 0,
) -> Image.Image:
    """Draw images in rows and columns, with headings above and labels before them.

    Args:
        images: (rows, columns, 1 or 3, height, width) in [-1, 1].
        headings: one for each column; a line break begins a new line.
        labels: one for each row, likewise; or none.
        marked: the columns with a frame around each image.
        label_width: of the labels in pixels, at least; for tables that are as wide as one another.

    Raises:
        InputError: for images that are neither grey nor RGB, or a picture with more pixels than can
            be read again.
    """
    rows, columns = images.shape[:2]
    headings, labels = [*map(readable, headings)], [*map(readable, labels)]
    factor = magnification(images.shape[-1])
    height, width = (side * factor for side in images.shape[-2:])
    above = max(map(lines, headings), default=0) * LINE
    left = max([label_width, *map(text_width, labels)])
    left += GAP + FRAME if left else 0
    size = (
        2 * MARGIN + left + columns * (width + GAP) - GAP,
        2 * MARGIN + above + rows * (height + GAP) - GAP,
    )
    check_pixels(size)
    picture = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for column, heading in enumerate(headings):
        x = MARGIN + left + column * (width + GAP) + width / 2
        write(pen, (x, MARGIN), fitted(heading, width), "ma")
    for row, label in enumerate(labels):
        y = MARGIN + above + row * (height + GAP) + height / 2
        write(pen, (MARGIN, y), label, "lm")
    for row in range(rows):
        for column in range(columns):
            x = MARGIN + left + column * (width + GAP)
            y = MARGIN + above + row * (height + GAP)
            if column in marked:
                box = (x - FRAME, y - FRAME, x + width + FRAME - 1, y + height + FRAME - 1)
                pen.rectangle(box, fill=MARK)
            picture.paste(as_picture(images[row, column], factor), (x, y))
    return picture


def as_picture(x: Tensor, factor: int = 1) -> Image.Image:
    """An image (1 or 3, height, width) in [-1, 1] as grey or RGB, enlarged by a whole factor.

    Raises:
        InputError: if it is neither grey nor RGB.
    """
    check_channels(x)
    pixels = to_uint8(x).cpu().repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    if len(pixels) == 1:
        return Image.fromarray(pixels[0].numpy())
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def magnification(side: int) -> int:
    """The whole factor by which images of a side are enlarged.

    >>> [magnification(side) for side in (16, 28, 32, 64, 128)]
    [6, 3, 3, 2, 1]
    """
    return max(1, round(SIDE / side + 1e-6))


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Images (n, 1 or 3, height, width) in [-1, 1] in rows, at their own size.

    Args:
        images: at least one.
        columns: images in a row; about as many as rows by default.

    Raises:
        InputError: as :func:`draw_table`.
    """
    n, height, width = len(images), *images.shape[-2:]
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    check_channels(images[0])
    check_pixels((columns * width, -(-n // columns) * height))
    picture: Tensor = make_grid(to_uint8(images), nrow=columns, padding=2, pad_value=255)
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def side_by_side(pictures: Sequence[tuple[str, Image.Image]], columns: int = 3) -> Image.Image:
    """Pictures of any sizes beside one another, each below its heading.

    Args:
        pictures: a heading for each, and the picture; at least one.
        columns: pictures in a row, at most.

    Raises:
        InputError: if that has more pixels than can be read again.
    """
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [
        max(picture.width for _, picture in pictures[column::columns])
        for column in range(min(columns, len(pictures)))
    ]
    heights = [LINE + GAP + max(picture.height for _, picture in row) for row in rows]
    gap = 2 * MARGIN
    size = (
        gap + sum(widths) + gap * (len(widths) - 1),
        gap + sum(heights) + gap * (len(heights) - 1),
    )
    check_pixels(size)
    sheet = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    y = MARGIN
    for row, height in zip(rows, heights, strict=True):
        x = MARGIN
        for (heading, picture), width in zip(row, widths, strict=False):
            write(pen, (x, y), fitted(heading, width), "la")
            sheet.paste(picture, (x, y + LINE + GAP))
            x += width + gap
        y += height + gap
    return sheet


def check_channels(x: Tensor) -> None:
    """Raise an InputError unless an image is (1 or 3, height, width)."""
    if x.ndim != 3 or x.shape[0] not in (1, 3):
        raise InputError(
            f"pictures are of grey or RGB images, these are of shape {tuple(x.shape)}; "
            "generate format=npz writes numbers"
        )


def check_pixels(size: tuple[int, int]) -> None:
    """Refuse a picture that programs would not open.

    Raises:
        InputError: if it has too many pixels.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(
            f"a picture of {size[0]:,} x {size[1]:,} pixels is more than {MAX_PIXELS:,}; ask for "
            "fewer images in it"
        )


@lru_cache
def font() -> Font:
    """The font of labels: matplotlib's, which has more letters than Pillow's."""
    spec = find_spec("matplotlib")  # which is not imported
    for folder in (spec.submodule_search_locations if spec else None) or []:
        file = Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        if file.is_file():
            return ImageFont.truetype(str(file), TEXT)
    return ImageFont.load_default(TEXT)


LINE = TEXT + 3


def lines(text: str) -> int:
    """How many lines a label has."""
    return text.count("\n") + 1 if text else 0


def text_width(text: str) -> int:
    """The width of a label in pixels."""
    return max((math.ceil(font().getlength(line)) for line in text.split("\n")), default=0)


def readable(text: str) -> str:
    """The lines of a label; nothing else in them is obeyed."""
    return "\n".join(printable(line) for line in text.split("\n"))


def fitted(text: str, width: int) -> str:
    """A label whose lines are cut to fit a width in pixels."""
    return "\n".join(fitted_line(line, width) for line in text.split("\n"))


def fitted_line(line: str, width: int) -> str:
    """A line that is cut to fit a width in pixels."""
    shown = line
    while shown and font().getlength(shown) > width:
        line = line[:-1]
        shown = f"{line}…" if line else ""
    return shown


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str) -> None:
    """Write the lines of a label."""
    parts = text.split("\n")
    top = place[1] - (len(parts) - 1) * LINE / 2 if anchor.endswith("m") else place[1]
    for number, part in enumerate(parts):
        pen.text((place[0], top + number * LINE), part, INK, font(), anchor)


def signed(value: float) -> str:
    """A number with its sign.

    >>> signed(1.5), signed(-3) == MINUS + "3", signed(0)
    ('+1.5', True, '0')
    """
    text = f"{abs(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "0" else f"{MINUS if value < 0 else '+'}{text}"
