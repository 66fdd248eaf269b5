"""OOD scores of the images in a folder, compared with those of held-out images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from lightning_gans import __version__
from lightning_gans.data import DataModule
from lightning_gans.data.data_module import DataMissing
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError, UsageError
from lightning_gans.models import Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.ood.calibration import (
    Calibration,
    Origin,
    calibrated,
    checksum,
)
from lightning_gans.ood.conformal import ConformalDetector
from lightning_gans.ood.error_maps import draw_maps
from lightning_gans.ood.folder_images import (
    FolderImages,
    PreparedImages,
    State,
    check_square,
    file_states,
    list_images,
    prepared,
)
from lightning_gans.ood.held_out import calibrate
from lightning_gans.ood.score_report import Results, draw_most_anomalous, summary, write_table
from lightning_gans.ood.scorer import Scorer, joined, score_some
from lightning_gans.paths import typed_path
from lightning_gans.ranges import NonNegativeInt, OpenUnitInterval, PositiveInt, checked
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.folder import calibration_file
from lightning_gans.runs.layout import family_of, is_complete
from lightning_gans.runs.parts import Content, Parts, finished_parts, new_results
from lightning_gans.text import printable
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.image_folder import check_apart, image_folder
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.ood_preparation import check_preparation
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data

TABLE, SHEET, MAPS = "scores.csv", "most_anomalous.png", "error_maps.png"
# the maximum number of images on a contact sheet
MOST_ON_SHEET = 400
MOST_MAPS = 100
# the exit status if some images could not be read
SOME_UNREADABLE = 3
# the number of images in a part of the results, and how the parts of held-out images are called
PART, HELD_OUT = 1000, "held-out"
HELD_OUT_IMAGES = "held-out images"


@dataclass(frozen=True)
class OODScores(Outcome):
    """The scores of a folder's images.

    Attributes:
        names: the paths of the readable images, relative to the folder, sorted.
        results: their scores and verdicts, in that order.
        reasons: why the other images could not be read, by name.
    """

    names: tuple[str, ...] = ()
    results: Results | None = None
    reasons: dict[str, str] | None = None


@checked
def ood_score(
    ckpt: str,
    images: str,
    data: DataModule | None = None,
    data_changes: dict[str, Any] | None = None,
    score: str | None = None,
    false_alarms: OpenUnitInterval = 0.05,
    held_out: PositiveInt | None = None,
    most_anomalous: NonNegativeInt = 36,
    maps: NonNegativeInt = 8,
    out: str | None = None,
    batch_size: PositiveInt = 250,
    device: str = "auto",
) -> OODScores:
    """Score how anomalous each image of a folder is to a model, compared with held-out images.

    lightning-gans ood score ckpt=runs/dlsgan/mnist/TIME images=scans
    lightning-gans ood score ckpt=RUN images=scans score=nll+reconstruction
    lightning-gans ood score ckpt=FILE.ckpt images=scans data=mnist data.root=data

    The held-out scores are stored next to the checkpoint, in NAME.ood.safetensors. Transparent
    parts of images show white; digits should be white on black, as MNIST's are.

    Exit status: 0 all images were scored, 3 some could not be read, 1 none was scored, 2 the
    command line was wrong, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP; the last line then
    says how to go on from the images that are finished.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        images: the folder of the images.
        data: its validation images are the held-out images; the data of the run by default. Those
            of the folder are cropped and padded as they are, so that data of the model's own kind
            must be prepared as in training.
        data_changes: arguments to change in the data of the run, such as data.root=FOLDER.
        score: a score of the model, such as nll, reconstruction, typicality or softmax, or two
            combined as nll+reconstruction; by default nll if the model has it and its weights
            are not averages.
        false_alarms: the share of ID images that may be called OOD.
        held_out: the maximum number of held-out images, drawn at random; by default 10,000.
        most_anomalous: the number of images on the contact sheet, at most 400.
        maps: the number of the most anomalous images whose maps of the reconstruction error are
            drawn, at most 100, for models that reconstruct: where beside how much.
        out: a folder for the results, instead of a new one in runs.
        batch_size: the number of images that are scored at once.
        device: auto, cpu or cuda.

    Returns:
        The scores and verdicts, and the folder of the table and the contact sheet.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if no image was scored, with the reason.
    """
    for name, value, most in (
        ("most_anomalous", most_anomalous, MOST_ON_SHEET),
        ("maps", maps, MOST_MAPS),
    ):
        if value > most:
            raise UsageError(f"{name}={value}: expected at most {most}")
    if out is not None and is_complete(typed_path(out), TABLE):
        raise UsageError(f"out={out} already has a {TABLE}; choose another folder")
    if data is not None and data_changes:
        raise UsageError("data and data_changes are both given; change data itself")
    # once: a training that goes on writes newer ones
    checkpoint, root = find(Path(ckpt)), image_folder(images)
    check_apart(root, out)
    held_out_data = run_data(ckpt, data_changes) if data is None else data
    if held_out_data is None and data_changes:
        raise UsageError(
            f"data.{next(iter(data_changes))} needs data=NAME as well, because {ckpt} has no "
            "config of its run"
        )
    files = list_images(root)
    model = load(checkpoint, parse_device(device))
    names, choice = choose_scores(score, model)
    check_square(model.image_shape)
    # the run's own data are prepared as they are
    if held_out_data is not None and (data is not None or data_changes):
        for line in check_preparation({ckpt: ckpt}, held_out_data, HELD_OUT_IMAGES):
            log(line)
    if not Scorer(model).is_batch_independent():
        log("this model's scores depend on the batch; images are scored one by one")
        batch_size = 1
    description = None if held_out_data is None else held_out_data.describe()
    request = {
        "command": "ood score",
        "version": __version__,
        "checkpoint": checksum(checkpoint),
        "images": str(root.resolve()),
        "score": "+".join(names),
        "held-out images": description,
        "held_out": held_out,
        "batch_size": batch_size,
        "device": model.device.type,
    }
    place = {"model": family_of(checkpoint, type(model).__name__), "data": root.resolve().name}
    with (
        new_results(place, "ood_score", request, out, new=TABLE) as folder,
        finished_parts(folder, request, log) as parts,
        enough_memory("choose a smaller batch_size"),
    ):
        score_held_out = partial(score_by_parts, parts=parts)
        compute = partial(
            held_out_scores, model, held_out_data, names, batch_size, data is None, score_held_out
        )
        calibration = calibrated(checkpoint, description, held_out, names, compute, log)
        if calibration_file(checkpoint).is_file():
            parts.forget(HELD_OUT)
        detector = ConformalDetector({n: calibration.scores[n] for n in names}, false_alarms)
        listed = parts.listed("images", files)
        scorer = Scorer(model, names, calibration.thresholds)
        dataset = prepared(root, listed, model.image_shape, calibration.origin.data)
        # what else the scores of files depend on
        origin = json.dumps([calibration.origin.data, sorted(calibration.thresholds.items())])
        scores, reasons = score_files(scorer, dataset, root, listed, batch_size, parts, origin)
        there = [i for i in range(len(listed)) if i not in reasons]
        found = FolderImages(
            listed, {listed[i]: why for i, why in reasons.items()}, Subset(dataset, there)
        )
        if not there:
            write_table(folder / TABLE, found, names, None)
            raise InputError(
                f"none of {len(listed):,} images can be read; {folder / TABLE} has the reasons"
            )
        kept = {name: values[there] for name, values in scores.items()}
        results = Results(kept, detector(kept))
        write_table(folder / TABLE, found, names, results)
        text = f"{summary(found, results, detector, calibration.data)}\n{choice}"
        text += draw_pictures(folder, model, found, results, most_anomalous, maps)
        if not reasons:
            parts.remove()
    return OODScores(
        folder,
        f"{text}\ntable and contact sheet: {folder}",
        SOME_UNREADABLE if found.reasons else 0,
        tuple(found.readable),
        results,
        dict(found.reasons),
    )


def draw_pictures(
    folder: Path, model: Model, found: FolderImages, results: Results, most: int, maps: int
) -> str:
    """Draw the contact sheet and the maps, of so many images each; lines on images left out."""
    text = ""
    if most:
        lost = draw_most_anomalous(folder / SHEET, found, results, most)
        text += "".join(f"\n{n} is not in {SHEET}: {why}" for n, why in lost.items())
    if maps and isinstance(model, Reconstructs):
        lost = draw_maps(folder / MAPS, model, found, results, maps)
        text += "".join(f"\n{n} is not in {MAPS}: {why}" for n, why in lost.items())
    return text


def held_out_scores(
    model: Model,
    data: DataModule | None,
    names: Sequence[str],
    batch_size: int,
    is_training_data: bool,
    score: Callable[[Scorer, Dataset[Batch], int], Mapping[str, Tensor]],
    origin: Origin,
) -> Calibration:
    """As :func:`~lightning_gans.ood.held_out.calibrate`; missing data are told how to be given."""
    assert data is not None
    try:
        return calibrate(model, data, names, origin, batch_size, is_training_data, score)
    except DataMissing as error:
        hint = "or give other held-out images: data=NAME data.root=FOLDER"
        raise DataMissing(f"{error}; {hint}") from error


def score_by_parts(
    scorer: Scorer, images: Dataset[Batch], batch_size: int, parts: Parts
) -> dict[str, Tensor]:
    """The scores of held-out images, part by part; a line names how many could not be read.

    Raises:
        InputError: if none could be read.
    """
    found, reasons = [], dict[int, str]()
    for start in range(0, size(images), PART):
        chosen = range(start, min(start + PART, size(images)))

        def compute(chosen: range = chosen) -> Content:
            scored = score_some(scorer, images, chosen, batch_size)
            return scored.scores, {"reasons": json.dumps(scored.reasons)}

        tensors, notes = parts.part(f"{HELD_OUT}-{start:09d}", compute)
        reasons |= {int(i): why for i, why in json.loads(notes["reasons"]).items()}
        found.append(tensors)
    scores = joined(found, scorer.names)
    there = torch.tensor([i not in reasons for i in range(size(images))], dtype=torch.bool)
    if reasons:
        number, why = next(iter(reasons.items()))
        log(f"{len(reasons):,} held-out images are left out, such as number {number}: {why}")
    if not there.any():
        raise InputError("none of the held-out images can be scored; give other data=NAME")
    return {name: values[there] for name, values in scores.items()}


def score_files(
    scorer: Scorer,
    images: PreparedImages,
    root: Path,
    names: Sequence[str],
    batch_size: int,
    parts: Parts,
    origin: str,
) -> tuple[dict[str, Tensor], dict[int, str]]:
    """The scores of files, part by part, and by their numbers why some have none.

    Parts with a file that could not be read, or that changed since, are computed again, and so are
    those of another origin: of other held-out images, as which files are prepared.
    """
    found, reasons = [], dict[int, str]()
    size_of_part = max(batch_size, PART // batch_size * batch_size)
    for start in range(0, len(names), size_of_part):
        chosen = range(start, min(start + size_of_part, len(names)))
        states = file_states(root, names[start : chosen.stop])

        def compute(chosen: range = chosen, states: object = states) -> Content:
            scored = score_some(scorer, images, chosen, batch_size)
            notes = {"reasons": json.dumps(scored.reasons), "files": json.dumps(states)}
            return scored.scores, {**notes, "origin": origin}

        def is_final(found: Content, start: int = start, states: Sequence[State] = states) -> bool:
            return found[1]["origin"] == origin and not has_changed(found[1], start, states)

        tensors, notes = parts.part(f"images-{start:09d}", compute, is_final)
        reasons |= {int(i): why for i, why in json.loads(notes["reasons"]).items()}
        found.append(tensors)
    return joined(found, scorer.names), reasons


def has_changed(notes: Mapping[str, str], first: int, states: Sequence[State]) -> bool:
    """Whether files of a finished part are to be scored again, now that they are others.

    Args:
        notes: of the part.
        first: the number of its first file.
        states: of its files now.
    """
    failed = {int(i) - first for i in json.loads(notes["reasons"])}
    known = json.loads(notes["files"])
    pairs = list(enumerate(zip(known, states, strict=True)))
    if any(now is None and i not in failed for i, (_, now) in pairs):
        return False  # a score would be lost
    return any(now is not None and (i in failed or now != before) for i, (before, now) in pairs)


def choose_scores(requested: str | None, model: Model) -> tuple[tuple[str, ...], str]:
    """The names of the scores to use, and a line that says which these are and why.

    Raises:
        UserError: if the model has no scores.
        UsageError: if the model does not have a requested score.
    """
    if requested is None:
        name, why = Scorer(model).default
        return (name,), f"score={name}: {why}; score= chooses another"
    names = tuple(requested.split("+"))
    if len(set(names)) < len(names):
        raise UsageError(
            f"score={requested}: expected different scores, such as nll+reconstruction"
        )
    try:
        scorer = Scorer(model, names)
    except InputError as error:
        raise UsageError(f"score={requested}: {error}") from error
    return scorer.names, scorer.warning or f"score={requested}, as requested"


def log(line: str) -> None:
    """Print progress without buffering."""
    print(printable(line), flush=True)
