"""A table of how well the scores of models separate sets of OOD images from ID images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_gans.data import DataMissing, DataModule
from lightning_gans.errors import InputError, UsageError
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import batches, size
from lightning_gans.ood.benchmark import LEAST, Row, rows, score_sets
from lightning_gans.ood.datasets import OODData
from lightning_gans.ood.resampling import coarse, exact
from lightning_gans.ood.scorer import Scorer
from lightning_gans.ood.table import Facts, draw, report, write_csv
from lightning_gans.ranges import ClosedUnitInterval, NonNegativeInt, PositiveInt
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import ROOT, family_of, results_folder
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.outcome import Outcome

TABLE, REPORT, PICTURE = "table.csv", "table.md", "auroc.png"
AREAS = {"exact": exact, "coarse": coarse}
# stands for the number of the fold in the path of a checkpoint
FOLD = "{fold}"
# enough training images to find thresholds
ENOUGH = 10_000


@dataclass(frozen=True)
class OODTable(Outcome):
    """The rows of the table.

    Attributes:
        rows: for each model, score and set.
    """

    rows: tuple[Row, ...] = ()


def ood_table(
    ckpt: Sequence[str],
    data: DataModule,
    n: PositiveInt = 10_000,
    near: ClosedUnitInterval | None = None,
    scores: str | None = None,
    auroc: Literal["exact", "coarse"] = "exact",
    bootstrap: NonNegativeInt = 1000,
    folds: PositiveInt | None = None,
    seed: NonNegativeInt = 0,
    out: str | None = None,
    batch_size: PositiveInt = 250,
    device: str = "auto",
) -> OODTable:
    """Measure how well scores of models separate sets of OOD images, far and near, from ID images.

    lightning-gans ood table ckpt=runs/dlsgan/mnist/TIME data=mnist_ood data.root=data
    lightning-gans ood table ckpt=runs/anodlsgan/fold{fold} folds=7 data=mnist_ood data.root=data

    Args:
        ckpt: a run's folder, or a checkpoint; give it once for each model.
        data: the ID images and the OOD sets, mnist_ood or celeba_ood.
        n: how many ID images, at most, and how many of each set.
        near: the share of the OOD image in near images; by default 0.1 for digits, 0.5 for faces.
        scores: such as nll,reconstruction; by default all that cost little.
        auroc: exact, or coarse with thresholds at every tenth ID score, as in the thesis.
        bootstrap: samples for the confidence intervals; 0 for no intervals.
        folds: how many; {fold} in ckpt= and data.fold take the values 0, 1, ..., and values are
            means over folds.
        seed: of the bootstrap.
        out: a folder for the results, instead of a new one in runs.
        batch_size: how many images are scored at once.
        device: auto, cpu or cuda.

    Returns:
        The rows, and the folder of the tables and the picture.

    Raises:
        UsageError: if an argument is wrong.
        UserError: for what cannot be done, in one line.
    """
    checkpoints = tuple(ckpt)
    check_arguments(checkpoints, n, folds, out)
    if not isinstance(data, OODData):
        raise UsageError(
            f"data={data.name} has no OOD sets; give data=mnist_ood or data=celeba_ood"
        )
    numbers = [None] if folds is None else list(range(folds))
    # names and files that are wrong are reported before the work begins
    models = {k: load_scorers(checkpoints, scores, k, device) for k in numbers}
    found = []
    missing: dict[str, str] = {}
    share = data.near if near is None else near
    for fold in numbers:
        scorers = models[fold]
        fold_data = data if fold is None else with_fold(data, fold)
        prepare(fold_data, scorers)
        for name, why in fold_data.missing.items():
            if name not in missing:
                log(f"without {name}: {why}")
        missing |= fold_data.missing
        fit(scorers, fold_data, batch_size)
        if fold is not None:
            log(f"fold {fold}")
        found.append(score_sets(scorers, fold_data, n, share, batch_size, log))
    log("intervals")
    results = rows(found, bootstrap, seed, AREAS[auroc])
    folder = results_folder({"model": "ood", "data": data.name}, "table", out, new=TABLE)
    names = dict(zip(found[0], checkpoints, strict=True))
    text = report(Facts(data.name, share, auroc, bootstrap, names, missing), results, found)
    (folder / REPORT).write_text(text, encoding="utf-8")
    write_csv(results, folder / TABLE)
    draw(results, folder / PICTURE)
    return OODTable(folder, f"{text}\ntables and picture: {folder}", rows=tuple(results))


def check_arguments(checkpoints: Sequence[str], n: int, folds: int | None, out: str | None) -> None:
    """Raise a UsageError for what can be seen to be wrong before any work."""
    if not checkpoints:
        raise UsageError("no model is named; give ckpt=RUN, a run's folder or a checkpoint")
    if n < LEAST:
        raise UsageError(f"n={n}: expected at least {LEAST}")
    if folds is not None and folds < 2:
        raise UsageError(f"folds={folds}: expected at least 2")
    for path in checkpoints:
        if (folds is None) == (FOLD in path):
            raise UsageError(
                f"ckpt={path}: {FOLD} in a path stands for the number of the fold and needs folds=7"
            )
    if out is not None and (Path(out).expanduser() / TABLE).exists():
        raise UsageError(f"out={out}: there is a {TABLE} already; choose another folder")


def load_scorers(
    checkpoints: Sequence[str], scores: str | None, fold: int | None, device: str
) -> dict[str, Scorer]:
    """The scorers of all models, under names that differ.

    Raises:
        UserError: if there is no such checkpoint, or a model has no score that is asked for.
    """
    found: dict[str, Scorer] = {}
    for pattern in checkpoints:
        path = pattern if fold is None else pattern.replace(FOLD, str(fold))
        scorer = Scorer(load(path, parse_device(device)))
        if scores is not None:
            wanted = [name for name in scores.split(",") if name in scorer.available]
            if not wanted:
                raise UsageError(
                    f"scores={scores}: {type(scorer.model).__name__} has none of them; it has "
                    f"{', '.join(scorer.available)}"
                )
            scorer = Scorer(scorer.model, wanted)
        name = model_name(pattern, path, family_of(path, type(scorer.model).__name__))
        count = sum(other.partition(" ")[0] == name for other in found)
        found[f"{name} ({count + 1})" if count else name] = scorer
    return found


def model_name(pattern: str, path: str, family: str) -> str:
    """What to call a model: its name among the runs, or else the folder of its run.

    Args:
        pattern: its checkpoint as typed, with :data:`FOLD` in it if there are folds.
        path: its checkpoint.
        family: its name among the runs.
    """
    file = find(Path(path)).resolve()
    if ROOT in file.parts:
        return family
    run = Path(pattern).resolve()
    run = run.parent if run.suffix == ".ckpt" else run
    run = run.parent if run.name == file.parent.name else run
    return run.name.replace(FOLD, "").strip("-_. ") or family


def with_fold(data: OODData, fold: int) -> OODData:
    """The same data with another fold as ID images.

    Raises:
        UsageError: if the data have no such fold.
    """
    try:
        return data.replace(fold=fold)
    except TypeError as error:
        raise UsageError(f"data={data.name} has no folds; leave out folds") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def prepare(data: OODData, scorers: Mapping[str, Scorer]) -> None:
    """Open the ID images and the OOD sets.

    Raises:
        InputError: if they are not of the shape that a model takes.
        DataMissing: if the ID images or all sets are missing.
    """
    for name, scorer in scorers.items():
        if scorer.model.image_shape != data.image_shape:
            raise InputError(
                f"expected images of shape {scorer.model.image_shape}, as {name} takes, but "
                f"{data.name} has {data.image_shape}; choose other data, or data.resolution"
            )
    data.prepare_data()
    data.setup("predict")
    if not data.sets:
        raise DataMissing(
            f"none of the OOD sets {', '.join(data.missing)} is there; "
            f"{next(iter(data.missing.values()))}"
        )


def fit(scorers: Mapping[str, Scorer], data: OODData, batch_size: int) -> None:
    """Fit scorers that need training images; if those are missing, log what is left out."""
    unfitted = [scorer for scorer in scorers.values() if scorer.percentiles]
    if not unfitted:
        return
    try:
        data.setup("fit")
    except DataMissing as error:
        log(f"without scores that need training images, such as ReAct: {error}")
        return
    n = min(ENOUGH, size(data.train_set))
    for scorer in unfitted:
        scorer.fit(x for x, _ in batches(data.train_set, batch_size, n))


def log(line: str) -> None:
    """Print progress to stderr, at once: stdout is for the table."""
    print(line, file=sys.stderr, flush=True)
