"""A table of how well the scores of models separate sets of OOD images from ID images."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

from lightning_gans import __version__
from lightning_gans.data import DataMissing, DataModule
from lightning_gans.errors import InputError, UsageError
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import batches, size
from lightning_gans.ood.benchmark import LEAST, Row, Scored, joined, rows, score_sets
from lightning_gans.ood.calibration import checksum
from lightning_gans.ood.datasets import FolderSets, NamedFolder, OODData, parse_folders
from lightning_gans.ood.folder_images import check_square
from lightning_gans.ood.openood import openood_markdown, openood_rows, write_openood
from lightning_gans.ood.resampling import coarse, exact
from lightning_gans.ood.scorer import Scorer
from lightning_gans.ood.scores import SCORES
from lightning_gans.ood.table import Facts, as_json, draw, report, write_csv
from lightning_gans.paths import near_miss, typed_path
from lightning_gans.ranges import ClosedUnitInterval, NonNegativeInt, PositiveInt, Seed, checked
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.folder import FOLDER, ROOT
from lightning_gans.runs.layout import family_of, is_complete
from lightning_gans.runs.parts import Content, Parts, finished_parts, new_results
from lightning_gans.text import printable
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.image_folder import check_apart
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.ood_preparation import check_preparation
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data

TABLE, REPORT, JSON, PICTURE = "table.csv", "table.md", "table.json", "auroc.png"
OPENOOD = "openood.csv"
OPENOOD_NOTE = (
    "Of all ID images that are not held out, and all images of a set, with OOD as positive: the "
    "false positive rate at a true positive rate of 95 %, and areas under scikit-learn's curves. "
    "Bold rows are means over the sets of a kind."
)
AREAS = {"exact": exact, "coarse": coarse}
# the placeholder for the number of the fold in the path of a checkpoint
FOLD = "{fold}"
# the number of training images from which thresholds are fitted
FIT_IMAGES = 10_000
# the exit status if some images could not be read
SOME_UNREADABLE = 3


@dataclass(frozen=True)
class OODTable(Outcome):
    """The rows of the table.

    Attributes:
        rows: one for each model, score and set.
    """

    rows: tuple[Row, ...] = ()


@checked
def ood_table(
    ckpt: Sequence[str],
    data: DataModule | None = None,
    data_changes: dict[str, Any] | None = None,
    sets: Sequence[str] = (),
    n: PositiveInt = 10_000,
    near: ClosedUnitInterval | None = None,
    scores: str | None = None,
    auroc: Literal["exact", "coarse"] = "exact",
    bootstrap: NonNegativeInt = 1000,
    folds: PositiveInt | None = None,
    seed: Seed = 0,
    out: str | None = None,
    batch_size: PositiveInt = 250,
    device: str = "auto",
) -> OODTable:
    """Measure how well scores of models separate sets of OOD images, far and near, from ID images.

    lightning-gans ood table ckpt=runs/dlsgan/mnist/TIME data=mnist_ood data.root=data
    lightning-gans ood table ckpt=runs/anodlsgan/fold{fold} folds=7 data=mnist_ood data.root=data
    lightning-gans ood table ckpt=RUN ood.sets=near/dogs:DOGS,far/noise:NOISE

    Exit status: 0 all images were scored, 3 some could not be read, 1 there is no table, 2 the
    command line was wrong, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP; the last line then
    says how to go on from the sets that are finished.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run. Give it once for each model.
        data: the ID images and the OOD sets, mnist_ood or celeba_ood; with sets, any data, whose
            validation images are ID, by default those of the run. They must be cropped, padded and
            resized as the images that the models were trained on.
        data_changes: arguments to change in the data of the run, such as data.root=FOLDER.
        sets: folders of OOD images, as ood.sets=NAME:FOLDER,NAME:FOLDER; a name may begin with
            near/ or far/. Their images are prepared as the ID images are, and not mixed with them.
            The results have the columns of OpenOOD as well.
        n: the maximum number of ID images, and of images of each OOD set.
        near: the share of the OOD image in near images; by default 0.1 for digits, 0.5 for faces.
        scores: such as nll,reconstruction; by default all that are cheap to compute.
        auroc: exact, or coarse with thresholds at every tenth ID score, as in the thesis.
        bootstrap: the number of samples for the confidence intervals; 0 for no intervals.
        folds: the number of folds; {fold} in ckpt= and data.fold take the values 0, 1, ..., and
            results are means over folds.
        seed: of the bootstrap.
        out: a folder for the results, instead of a new one in runs.
        batch_size: the number of images that are scored at once.
        device: auto, cpu or cuda.

    Returns:
        The rows, and the folder of the tables and the picture.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if the table cannot be computed.
    """
    checkpoints = tuple(ckpt)
    check_arguments(checkpoints, n, folds, out)
    folders = parse_folders(sets)
    check_folders(folders, out)
    numbers = [None] if folds is None else list(range(folds))
    # wrong names and files are reported before the work begins
    tested = tested_data(checkpoints, numbers[0], data, data_changes, folders)
    models = {k: load_scorers(checkpoints, scores, k, device) for k in numbers}
    notes = {k: check_models(checkpoints, models[k], tested, k) for k in numbers}
    share = tested.near if near is None else near
    request = {
        "command": "ood table",
        "version": __version__,
        "checkpoints": [checksum(find(Path(path))) for path in all_paths(checkpoints, numbers)],
        "data": tested.describe(),
        "n": n,
        "near": share,
        "folds": folds,
        "scores": scores,
        "batch_size": batch_size,
        "device": str(parse_device(device)),
    }
    place = {"model": "ood", "data": tested.name}
    with (
        new_results(place, "table", request, out, new=TABLE) as folder,
        finished_parts(folder, request, log) as parts,
        enough_memory("choose a smaller batch_size"),
    ):
        found, missing, sources = score_folds(models, tested, notes, n, share, batch_size, parts)
        log("intervals")
        results = rows(found, bootstrap, seed, AREAS[auroc], sources)
        names = dict(zip(found[0], checkpoints, strict=True))
        unreadable = {
            what if fold is None else f"fold {fold}: {what}": why
            for fold, scored in zip(numbers, found, strict=True)
            for what, why in next(iter(scored.values())).reasons.items()
        }
        shown = {folder.name: str(folder.root) for folder in folders}
        facts = Facts(
            tested.name, share, auroc, bootstrap, names, missing, unreadable, sources, shown
        )
        text = report(facts, results, found)
        if folders:
            columns = openood_rows(found, tested.kinds)
            text += f"\n## OpenOOD v1.5, in %\n\n{OPENOOD_NOTE}\n\n{openood_markdown(columns)}\n"
            write_openood(columns, folder / OPENOOD)
        write_text(folder / REPORT, text)
        write_text(folder / JSON, as_json(facts, results))
        draw(results, folder / PICTURE)
        write_csv(results, folder / TABLE)
        if not unreadable:
            parts.remove()
    return OODTable(
        folder,
        f"{text}\ntables and picture: {folder}",
        SOME_UNREADABLE if unreadable else 0,
        rows=tuple(results),
    )


def check_folders(folders: Sequence[NamedFolder], out: str | None) -> None:
    """Raise a UsageError if a folder is missing, or the results would be in one."""
    for folder in folders:
        if not folder.root.is_dir():
            exists = folder.root.exists()
            what = "is not a folder" if exists else f"does not exist{near_miss(folder.root)}"
            raise UsageError(
                f"ood.sets={folder.name}:{folder.root}: {folder.root} {what}; give NAME:FOLDER, "
                "where images are"
            )
        check_apart(folder.root, out)


def tested_data(
    checkpoints: Sequence[str],
    fold: int | None,
    data: DataModule | None,
    data_changes: Mapping[str, Any] | None,
    folders: Sequence[NamedFolder],
) -> OODData:
    """The ID images and the OOD sets.

    Args:
        checkpoints: as typed; the run of the first one has the ID images if ``data`` is None.
        fold: the first one; None if there are none.
        data: that was named, if it was.
        data_changes: arguments to change in the data of the run.
        folders: OOD sets.

    Raises:
        UsageError: if there are no OOD sets, or no ID images.
        UserError: if the data of the run cannot be built, or a folder has no images.
    """
    if data is not None and data_changes:
        raise UsageError("data and data_changes are both given; change data itself")
    if not folders:
        if data is None:
            raise UsageError(
                "no OOD sets are named; give data=mnist_ood or data=celeba_ood, or folders, as in "
                "ood.sets=NAME:FOLDER"
            )
        if not isinstance(data, OODData):
            raise UsageError(
                f"data={data.name} has no OOD sets; give data=mnist_ood or data=celeba_ood, or "
                "folders, as in ood.sets=NAME:FOLDER"
            )
        return data
    if data is None:
        (path,) = all_paths(checkpoints[:1], [fold])
        data = run_data(path, data_changes)
        if data is None:
            raise UsageError(
                f"{path} has no config of its run, which would name its data; give data=NAME"
            )
    if not data.has_images:
        raise UsageError(f"data={data.name} has points; ood.sets are images")
    check_square(data.image_shape)
    return FolderSets(data, folders)


def check_models(
    checkpoints: Sequence[str], scorers: Mapping[str, Scorer], data: OODData, fold: int | None
) -> list[str]:
    """As :func:`check_preparation`, for the models of a fold."""
    runs = dict(zip(scorers, all_paths(checkpoints, [fold]), strict=True))
    return check_preparation(runs, data if fold is None else with_fold(data, fold), fold=fold)


def score_folds(
    models: Mapping[int | None, Mapping[str, Scorer]],
    data: OODData,
    notes: Mapping[int | None, Sequence[str]],
    n: int,
    near: float,
    batch_size: int,
    parts: Parts,
) -> tuple[list[dict[str, Scored]], dict[str, str], dict[str, str]]:
    """The scores of each fold, each set a part of the results, why sets are missing, their sources.

    Args:
        models: the scorers of each fold; the only key is None if there are no folds.
        data: of which the ID images and sets are scored.
        notes: lines on each fold, to be shown once its images are there.
        n: the maximum number of ID images, and of images of each set.
        near: the share of the OOD image in near images.
        batch_size: images that are scored at once.
        parts: the finished ones.

    Raises:
        UserError: as :func:`prepare` and :func:`~lightning_gans.ood.benchmark.score_sets`.
    """
    found = []
    missing: dict[str, str] = {}
    sources: dict[str, str] = {}
    shown: set[str] = set()
    for fold, scorers in models.items():
        fold_data = data if fold is None else with_fold(data, fold)
        prepare(fold_data, scorers)
        for line in notes[fold]:
            if line not in shown:
                log(line)
        shown |= {*notes[fold]}
        for name, why in fold_data.missing.items():
            if name not in missing:
                log(f"without {name}: {why}")
        missing |= fold_data.missing
        for name, source in fold_data.sources.items():
            sources[name] = joined([sources.get(name, ""), source])
        fit(scorers, fold_data, batch_size)
        for name, scorer in scorers.items():
            if scorer.warning is not None and fold in (None, 0):
                log(f"{name} {scorer.warning}")
        if fold is not None:
            log(f"fold {fold}")
        names = [list(scorer.names) for scorer in scorers.values()]
        part = partial(part_of_fold, parts, fold, names, fold_data.sources)
        found.append(score_sets(scorers, fold_data, n, near, batch_size, log, part))
    return found, missing, sources


def part_of_fold(
    parts: Parts,
    fold: int | None,
    scores: Sequence[Sequence[str]],
    sources: Mapping[str, str],
    name: str,
    compute: Callable[[], Content],
) -> Content:
    """A part of a fold, computed again if some images had no score, or it has others' scores.

    Others are other scores, or those of images from another source: files of corrupted digits may
    have come since.
    """
    expected = json.dumps([scores, sources.get(name, "")])

    def computed() -> Content:
        tensors, notes = compute()
        return tensors, {**notes, "scores": expected}

    def is_final(found: Content) -> bool:
        return found[1]["complete"] == "true" and found[1]["scores"] == expected

    prefix = "" if fold is None else f"fold{fold}-"
    return parts.part(f"{prefix}{name}", computed, is_final)


def all_paths(checkpoints: Sequence[str], folds: Sequence[int | None]) -> list[str]:
    """The checkpoints of all folds."""
    return [path.replace(FOLD, str(fold)) for path in checkpoints for fold in folds]


def check_arguments(checkpoints: Sequence[str], n: int, folds: int | None, out: str | None) -> None:
    """Raise a UsageError for arguments that are wrong, before any work."""
    if not checkpoints:
        raise UsageError("no model is named; give ckpt=RUN, a run's folder or a checkpoint")
    if n < LEAST:
        raise UsageError(f"n={n}: expected at least {LEAST}")
    if folds is not None and folds < 2:
        raise UsageError(f"folds={folds}: expected at least 2")
    for path in checkpoints:
        if (folds is None) == (FOLD in path):
            raise UsageError(
                f"ckpt={path}: {FOLD} in a path is the number of the fold and needs folds=N"
            )
    if out is not None and is_complete(typed_path(out), TABLE):
        raise UsageError(f"out={out} already has a {TABLE}; choose another folder")


def load_scorers(
    checkpoints: Sequence[str], scores: str | None, fold: int | None, device: str
) -> dict[str, Scorer]:
    """The scorers of all models, by unique names.

    Raises:
        UserError: if a checkpoint is missing, or a model has none of the requested scores.
    """
    requested = None if scores is None else parse_names(scores)
    scorers: dict[str, Scorer] = {}
    for pattern in checkpoints:
        path = pattern if fold is None else pattern.replace(FOLD, str(fold))
        scorer = Scorer(load(path, parse_device(device)))
        if requested is not None:
            available = [name for name in requested if name in scorer.available]
            if not available:
                raise UsageError(
                    f"scores={scores}: {type(scorer.model).__name__} has none of them; it has "
                    f"{', '.join(scorer.available)}"
                )
            scorer = Scorer(scorer.model, available)
        name = model_name(pattern, path, family_of(path, type(scorer.model).__name__))
        names = chain([name], (f"{name} ({i})" for i in count(2)))
        scorers[next(unique for unique in names if unique not in scorers)] = scorer
    return scorers


def parse_names(scores: str) -> list[str]:
    """The names of scores, of which each model may have others.

    Raises:
        UsageError: for a name that is given twice, or that is no score's.
    """
    # a comma in brackets is part of a name, as in energy(t=1,p=0.9)
    names = [name.strip() for name in re.split(r",(?![^(]*\))", scores)]
    known = [score.name for score in SCORES]
    for name in names:
        if name not in known:
            raise UsageError(
                f"scores={scores}: there is no score '{name}'; scores are {', '.join(known)}"
            )
        if names.count(name) > 1:
            raise UsageError(f"scores={scores}: {name} is given twice")
    return names


def model_name(pattern: str, path: str, family: str) -> str:
    """The name of a model in the table: from the path of its run, or else of its folder.

    Args:
        pattern: its checkpoint as typed, with :data:`FOLD` if there are folds.
        path: its checkpoint.
        family: its name in the path of its run.
    """
    file = find(Path(path)).resolve()
    if ROOT in file.parts:
        return family
    run = Path(pattern).resolve()
    run = run.parent if run.suffix == file.suffix else run
    run = run.parent if run.name == FOLDER else run
    return run.name.replace(FOLD, "").strip("-_. ") or family


def with_fold(data: OODData, fold: int) -> OODData:
    """The data with another fold as ID images.

    Raises:
        UsageError: if the data do not have this fold.
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
        InputError: if a model takes images of another shape.
        DataMissing: if the ID images or all OOD sets are missing.
    """
    for name, scorer in scorers.items():
        if scorer.model.image_shape != data.image_shape:
            raise InputError(
                f"expected images of shape {scorer.model.image_shape}, as {name} takes, but "
                f"{data.name} has {data.image_shape}; {other_shape(data)}"
            )
    data.prepare_data()
    data.setup("predict")
    if not data.sets:
        raise DataMissing(
            f"all OOD sets are missing: {', '.join(data.missing)}; "
            f"{next(iter(data.missing.values()))}"
        )


def other_shape(data: DataModule) -> str:
    """What may be given to get images of another shape."""
    while isinstance(data, FolderSets):
        data = data.data
    known = inspect.signature(type(data)).parameters
    options = [f"data.{name}" for name in ("resolution", "padding") if name in known]
    return " or ".join(["choose other data", *options])


def fit(scorers: Mapping[str, Scorer], data: OODData, batch_size: int) -> None:
    """Fit scorers that need training images; log which are skipped if those are missing."""
    unfitted = [scorer for scorer in scorers.values() if scorer.percentiles]
    if not unfitted:
        return
    try:
        data.setup("fit")
    except DataMissing as error:
        log(f"without scores that need training images, such as ReAct: {error}")
        return
    n = min(FIT_IMAGES, size(data.train_set))
    for scorer in unfitted:
        scorer.fit(x for x, _ in batches(data.train_set, batch_size, n))


def log(line: str) -> None:
    """Print progress to stderr without buffering; stdout is for the table."""
    print(printable(line), file=sys.stderr, flush=True)
