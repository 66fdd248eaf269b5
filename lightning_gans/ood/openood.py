"""The columns of OpenOOD's tables: FPR@95, AUROC, AUPR_IN and AUPR_OUT, in per cent.

Definitions are those of OpenOOD v1.5 (Zhang et al. 2023, "OpenOOD v1.5: Enhanced Benchmark for
Out-of-Distribution Detection"), whose values come from scikit-learn's curves: all ID images are
compared with all images of a set, however many there are of each.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.integrate import trapezoid

from lightning_gans.ood.benchmark import Scored, pair, scores_in
from lightning_gans.ood.detection import Floats, Scores, as_scores, auroc
from lightning_gans.runs.atomic import replacing
from lightning_gans.text import cell

COLUMNS = ("FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT")
# the rows of means over the sets of a kind, as OpenOOD names them
MEANS = {"near": "nearood", "far": "farood", "ood": "ood"}
TPR = 0.95


class Measures(NamedTuple):
    """How well scores separate OOD images from ID images, each in [0, 1].

    Attributes:
        fpr95: share of ID images called OOD where at least 95 % of the OOD images are; OOD is
            positive.
        auroc: area under the receiver operating characteristic.
        aupr_in: area under precision over recall, trapezoidal, with ID as positive.
        aupr_out: the same with OOD as positive.
    """

    fpr95: float
    auroc: float
    aupr_in: float
    aupr_out: float


@dataclass(frozen=True)
class OpenOODRow:
    """A row of a table.

    Attributes:
        model: its name.
        score: the score's name.
        kind: "near", "far", or "ood" where that is not said.
        set: the set's name, or that of the mean over the sets of a kind.
        measures: means over folds, if there are several.
    """

    model: str
    score: str
    kind: str
    set: str
    measures: Measures


def openood_measures(id_scores: Scores, ood_scores: Scores) -> Measures:
    """OpenOOD's measures of scores, which are higher for more anomalous images.

    Args:
        id_scores: (n,).
        ood_scores: (m,).

    Raises:
        InputError: if either is empty, of another shape, or has non-finite values.
    """
    negative, positive = as_scores(id_scores, "ID scores"), as_scores(ood_scores, "OOD scores")
    return Measures(
        _fpr(negative, positive),
        auroc(negative, positive),
        _area(-positive, -negative),
        _area(negative, positive),
    )


def _counts(negative: Floats, positive: Floats) -> tuple[Floats, Floats]:
    """How many of either are called positive at each distinct score, from the highest down."""
    levels = np.unique(np.concatenate([negative, positive]))[::-1]
    found = [
        len(scores) - np.searchsorted(np.sort(scores), levels, "left").astype(np.float64)
        for scores in (negative, positive)
    ]
    return found[0], found[1]


def _fpr(negative: Floats, positive: Floats) -> float:
    """The rate of false positives at the first point of the curve that detects enough.

    As in scikit-learn's ``roc_curve``, points on a straight piece of equal steps are left out; the
    next one that is left may have a higher rate.
    """
    alarms, found = (np.append(0.0, counts) for counts in _counts(negative, positive))
    if len(alarms) > 2:
        bends = np.logical_or(np.diff(alarms, 2), np.diff(found, 2))
        kept = np.concatenate([[True], bends, [True]])
        alarms, found = alarms[kept], found[kept]
    first = int(np.argmax(found / found[-1] >= TPR))
    return float(alarms[first] / alarms[-1])


def _area(negative: Floats, positive: Floats) -> float:
    """The area under precision over recall, of straight lines between the points of the curve."""
    alarms, found = _counts(negative, positive)
    precision = np.append(1.0, found / (found + alarms))
    return float(trapezoid(y=precision, x=np.append(0.0, found / found[-1])))


def openood_rows(
    folds: Sequence[Mapping[str, Scored]], kinds: Mapping[str, str]
) -> list[OpenOODRow]:
    """Measure all scores on sets, and average over the sets of a kind.

    Args:
        folds: the scores of the images, for each fold of the same models.
        kinds: of the sets, by name; other sets are left out.
    """
    rows = []
    for model, first in folds[0].items():
        for score in scores_in(first.id_scores):
            for kind, title in MEANS.items():
                found = []
                for name in [name for name, of in kinds.items() if of == kind]:
                    place = (kind, name)
                    # a set that could not be read in one fold has no mean over folds
                    if all(place in fold[model].ood_scores for fold in folds):
                        pairs = [pair(fold[model], score, place, equal=False) for fold in folds]
                        found.append((name, np.mean([openood_measures(*p) for p in pairs], axis=0)))
                values = [*found, (title, np.mean([v for _, v in found], axis=0))] if found else []
                rows += [
                    OpenOODRow(model, score, kind, name, Measures(*map(float, measures)))
                    for name, measures in values
                ]
    return rows


def openood_markdown(rows: Sequence[OpenOODRow]) -> str:
    """A row for each score and set; values in per cent, as OpenOOD writes them."""
    lines = [
        f"| model | score | dataset | {' | '.join(COLUMNS)} |",
        "|---|---|---|" + "---:|" * len(COLUMNS),
    ]
    for row in rows:
        name = f"**{row.set}**" if row.set == MEANS[row.kind] else cell(row.set)
        texts = " | ".join(f"{100 * value:.2f}" for value in row.measures)
        lines.append(f"| {cell(row.model)} | {row.score} | {name} | {texts} |")
    return "\n".join(lines)


def write_openood(rows: Sequence[OpenOODRow], path: Path) -> None:
    """Write a line for each row, values in per cent at full precision."""
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "score", "group", "dataset", *COLUMNS])
        for row in rows:
            values = [repr(100 * value) for value in row.measures]
            writer.writerow([row.model, row.score, row.kind, row.set, *values])
