"""The results of scoring a folder: a table of all files, a contact sheet, a summary."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lightning_gans.data.reading import read
from lightning_gans.ood.conformal import ConformalDetector, Verdicts
from lightning_gans.ood.folder_images import FolderImages
from lightning_gans.runs.atomic import replacing
from lightning_gans.text import escape, printable, printable_lines

# in the column "verdict"
ID, OOD, UNREADABLE = "ID", "OOD", "unreadable"
# how many images and files the summary names
NAMED = 5
# of a panel of the contact sheet, in inches
WIDTH, HEIGHT = 1.5, 1.85
# as shares of a panel: the margin on each side of the image, and the space for its caption
SIDE, ABOVE = 0.04, 0.22


@dataclass(frozen=True)
class Results:
    """Scores and verdicts of the images that could be read, in their order.

    Attributes:
        scores: by name, each (k,).
        verdicts: on the k images.
    """

    scores: Mapping[str, Tensor]
    verdicts: Verdicts

    @property
    def order(self) -> list[int]:
        """The positions of the images, the most anomalous first; ties by name."""
        return self.verdicts.scores.argsort(descending=True, stable=True).tolist()


def write_table(
    path: Path, images: FolderImages, names: Sequence[str], results: Results | None
) -> None:
    """Write a CSV file with a row for each file, sorted by name.

    Columns: file (:func:`lightning_gans.text.escape` writes its control characters), score, pvalue,
    verdict, reason (why a file is unreadable). Several scores have a column each before ``score``,
    which combines them.

    Args:
        path: of the table.
        images: the files.
        names: of the scores.
        results: for the readable files; None if there are none.
    """
    parts = list(names) if len(names) > 1 else []
    position = {name: i for i, name in enumerate(images.readable)}
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *parts, "score", "pvalue", "verdict", "reason"])
        for name in images.names:
            if results is None or name not in position:
                row = [*("" for _ in parts), "", "", UNREADABLE, images.reasons.get(name, "")]
            else:
                i, verdicts = position[name], results.verdicts
                values = [*(results.scores[part][i] for part in parts), verdicts.scores[i]]
                verdict = OOD if verdicts.is_ood[i] else ID
                row = [*(f"{v:.9g}" for v in values), f"{verdicts.pvalues[i]:.9g}", verdict, ""]
            writer.writerow([escape(name), *row])


def draw_most_anomalous(
    path: Path, images: FolderImages, results: Results, most: int
) -> dict[str, str]:
    """Draw the most anomalous images as the model sees them, a PNG file; OOD captions are red.

    Returns:
        By name, why an image could not be read again. It is left out.
    """
    there = read(images.images, results.order[:most])
    lost = {images.readable[i]: why for i, why in there.reasons.items()}
    chosen = there.indices
    if not chosen:
        return lost
    names, verdicts = images.readable, results.verdicts
    captions = [
        f"{shorten(printable(names[i]))}\n{verdicts.scores[i]:.4g}   p {verdicts.pvalues[i]:.2g}"
        for i in chosen
    ]
    contact_sheet(there.x, captions, [bool(verdicts.is_ood[i]) for i in chosen], path)
    return lost


def contact_sheet(
    images: Tensor, captions: Sequence[str], is_red: Sequence[bool], path: Path
) -> None:
    """Draw images in rows, each below its caption, as a PNG file.

    Args:
        images: (n, 1 or 3, height, width) in [-1, 1], n at least 1.
        captions: n texts of two lines; nothing in them is read as a formula.
        is_red: whose captions are red.
        path: of the file.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    # on grey, black and white images have visible edges
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * rows), dpi=100, facecolor="0.9")
    FigureCanvasAgg(figure)
    # one pair of axes for all images: hundreds of axes take seconds to draw
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    pixels = images.detach().cpu().float().clamp(-1, 1).add(1).div(2)
    for index, (image, caption, red) in enumerate(zip(pixels, captions, is_red, strict=True)):
        row, column = divmod(index, columns)
        box = (column + SIDE, column + 1 - SIDE, row + 0.98, row + ABOVE)
        picture = image.permute(1, 2, 0).expand(-1, -1, 3)
        axes.imshow(picture.numpy(), extent=box, aspect="auto", interpolation="nearest")
        axes.text(
            column + 0.5,
            row + ABOVE - 0.02,
            printable_lines(caption),
            fontsize=6.5,
            color="tab:red" if red else "black",
            horizontalalignment="center",
            verticalalignment="bottom",
            parse_math=False,  # a file's name may have a dollar sign
        )
    axes.set(xlim=(0, columns), ylim=(rows, 0))
    with warnings.catch_warnings():
        # letters that the font lacks are drawn as boxes; the table has the names
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        with replacing(path) as new:
            figure.savefig(new, format="png")


def summary(images: FolderImages, results: Results, detector: ConformalDetector, data: str) -> str:
    """A few lines for the terminal.

    Args:
        images: the files.
        results: for the readable ones.
        detector: which gave the verdicts.
        data: the name of the held-out images.
    """
    names, verdicts = images.readable, results.verdicts
    alarms = int(verdicts.is_ood.sum())
    lines = [
        f"{len(names):,} of {len(images.names):,} images scored by {'+'.join(detector.names)}, "
        f"compared with {len(detector.reference):,} held-out images of {data}",
        f"{alarms:,} called OOD, with p ≤ {detector.false_alarms:g} (score above "
        f"{detector.threshold:.4g}); {detector.false_alarms * len(names):.3g} expected if all were "
        "ID",
        "most anomalous: "
        + ", ".join(
            f"{names[i]} ({verdicts.scores[i]:.4g}, p {verdicts.pvalues[i]:.2g})"
            for i in results.order[:NAMED]
        ),
    ]
    if images.reasons:
        unreadable = list(images.reasons.items())
        more = f" and {len(unreadable) - NAMED:,} more" if len(unreadable) > NAMED else ""
        first = ", ".join(f"{name} ({reason})" for name, reason in unreadable[:NAMED])
        lines.append(f"{len(unreadable):,} unreadable: {first}{more}")
    return "\n".join(map(printable, lines))


def shorten(name: str, most: int = 24) -> str:
    """The end of a long name, which distinguishes files better than its beginning."""
    return name if len(name) <= most else "…" + name[1 - most :]
