"""A contact sheet: images side by side, each with a line of text."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

# of a panel, in inches
WIDTH, HEIGHT = 1.5, 1.85
# of it, what is left of the image on each side, and above it for the caption
SIDE, ABOVE = 0.04, 0.22


def contact_sheet(
    images: Tensor, captions: Sequence[str], marked: Sequence[bool], path: Path
) -> None:
    """Images in rows, each below its caption, as a PNG file.

    Args:
        images: (n, 1 or 3, height, width) in [-1, 1], n at least 1.
        captions: n texts of two lines; nothing in them is read as a formula.
        marked: whose captions are red.
        path: of the file.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    # grey, so that black and white images have an edge
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), dpi=100, facecolor="0.9")
    FigureCanvasAgg(figure)
    # one for all: axes of their own take seconds to draw
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    pixels = images.detach().cpu().float().clamp(-1, 1).add(1).div(2)
    for index, (image, caption, red) in enumerate(zip(pixels, captions, marked, strict=True)):
        row, column = divmod(index, columns)
        box = (column + SIDE, column + 1 - SIDE, row + 0.98, row + ABOVE)
        picture = image.permute(1, 2, 0).expand(-1, -1, 3)
        axes.imshow(picture.numpy(), extent=box, aspect="auto", interpolation="nearest")
        axes.text(
            column + 0.5,
            row + ABOVE - 0.02,
            # a name of a file may hold a dollar sign, or bytes that are no text
            caption.encode(errors="replace").decode(),
            fontsize=6.5,
            color="tab:red" if red else "black",
            horizontalalignment="center",
            verticalalignment="bottom",
            parse_math=False,
        )
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    with warnings.catch_warnings():
        # letters that the font lacks are drawn as boxes; the table has the names
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path)
