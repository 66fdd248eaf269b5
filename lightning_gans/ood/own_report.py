"""What is left of a folder's scoring: a table of all files, a sheet of the strangest, a summary."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.ood.conformal_detector import ConformalDetector, Verdicts
from lightning_gans.ood.own_images import OwnImages
from lightning_gans.ood.sheet import contact_sheet

# of the column "verdict"
ID, OOD, UNREADABLE = "ID", "OOD", "unreadable"
# how many images and files the summary names
NAMED = 5


@dataclass(frozen=True)
class Result:
    """Scores and verdicts of the images that could be read, in their order.

    Attributes:
        scores: by name, each (k,).
        verdicts: of the k images.
    """

    scores: Mapping[str, Tensor]
    verdicts: Verdicts

    @property
    def order(self) -> list[int]:
        """The positions of the images, the strangest first; equally strange ones by name."""
        return self.verdicts.scores.argsort(descending=True, stable=True).tolist()


def write_table(path: Path, own: OwnImages, names: Sequence[str], result: Result | None) -> None:
    """A CSV file of one row a file, in the order of their names.

    Columns: file, score, pvalue, verdict, reason (of what is unreadable); of several scores, each
    has a column before ``score``, which joins them.

    Args:
        path: of the table.
        own: the files.
        names: of the scores.
        result: of the readable files; None if there are none.
    """
    parts = list(names) if len(names) > 1 else []
    position = {name: i for i, name in enumerate(own.readable)}
    # a file's name may be no text
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *parts, "score", "pvalue", "verdict", "reason"])
        for name in own.names:
            if result is None or name not in position:
                row = [*("" for _ in parts), "", "", UNREADABLE, own.reasons.get(name, "")]
            else:
                i, said = position[name], result.verdicts
                numbers = [*(result.scores[part][i] for part in parts), said.scores[i]]
                verdict = OOD if said.alarms[i] else ID
                row = [*(f"{v:.9g}" for v in numbers), f"{said.pvalues[i]:.9g}", verdict, ""]
            writer.writerow([name, *row])


def draw_strangest(path: Path, own: OwnImages, result: Result, most: int) -> None:
    """The strangest images as the model sees them, a PNG file; those called OOD are in red."""
    chosen = result.order[:most]
    names, said = own.readable, result.verdicts
    captions = [
        f"{shorten(names[i])}\n{said.scores[i]:.4g}   p {said.pvalues[i]:.2g}" for i in chosen
    ]
    images = torch.stack([own.images[i][0] for i in chosen])
    contact_sheet(images, captions, [bool(said.alarms[i]) for i in chosen], path)


def summary(own: OwnImages, result: Result, judge: ConformalDetector, data: str) -> str:
    """A few lines for the screen."""
    names, said = own.readable, result.verdicts
    alarms = int(said.alarms.sum())
    lines = [
        f"{len(names):,} of {len(own.names):,} images scored by {'+'.join(judge.names)}, beside "
        f"{len(judge.compared):,} held-out images of {data}",
        f"{alarms:,} called OOD, with p ≤ {judge.false_alarms:g} (score above "
        f"{judge.threshold:.4g}); {judge.false_alarms * len(names):.3g} expected if all were ID",
        "strangest: "
        + ", ".join(
            f"{names[i]} ({said.scores[i]:.4g}, p {said.pvalues[i]:.2g})"
            for i in result.order[:NAMED]
        ),
    ]
    if own.reasons:
        unread = list(own.reasons.items())
        more = f" and {len(unread) - NAMED:,} more" if len(unread) > NAMED else ""
        first = ", ".join(f"{name} ({reason})" for name, reason in unread[:NAMED])
        lines.append(f"{len(unread):,} unreadable: {first}{more}")
    # a terminal takes no bytes that are no text
    return "\n".join(lines).encode(errors="replace").decode()


def shorten(name: str, most: int = 24) -> str:
    """The end of a long name, which tells files apart."""
    return name if len(name) <= most else "…" + name[1 - most :]
