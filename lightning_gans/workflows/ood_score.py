"""OOD scores of the images in a folder, compared with those of held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_gans.data import DataModule
from lightning_gans.data.data_module import DataMissing
from lightning_gans.errors import InputError, UsageError
from lightning_gans.models import Model
from lightning_gans.models.base.load import load
from lightning_gans.ood.calibration import Calibration, Origin, calibrated
from lightning_gans.ood.conformal import ConformalDetector
from lightning_gans.ood.folder_images import folder_images, list_images
from lightning_gans.ood.held_out import calibrate
from lightning_gans.ood.score_report import Results, draw_most_anomalous, summary, write_table
from lightning_gans.ood.scorer import Scorer, score_all
from lightning_gans.paths import typed_path
from lightning_gans.ranges import NonNegativeInt, OpenUnitInterval, PositiveInt, checked
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import family_of, results_folder
from lightning_gans.text import printable
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data

TABLE, SHEET = "scores.csv", "most_anomalous.png"
# the maximum number of images on a contact sheet
MOST_ON_SHEET = 400
# the exit status if some images could not be read
SOME_UNREADABLE = 3


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
    command line was wrong.

    Args:
        ckpt: a run's folder, or a checkpoint.
        images: the folder of the images.
        data: its validation images are the held-out images; the data of the run by default.
        data_changes: arguments to change in the data of the run, such as data.root=FOLDER.
        score: a score of the model, such as nll, reconstruction, typicality or softmax, or two
            combined as nll+reconstruction; by default nll if the model has it.
        false_alarms: the share of ID images that may be called OOD.
        held_out: the maximum number of held-out images, drawn at random; by default 10,000.
        most_anomalous: the number of images on the contact sheet, at most 400.
        out: a folder for the results, instead of a new one in runs.
        batch_size: the number of images that are scored at once.
        device: auto, cpu or cuda.

    Returns:
        The scores and verdicts, and the folder of the table and the contact sheet.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if no image was scored, with the reason.
    """
    if most_anomalous > MOST_ON_SHEET:
        raise UsageError(f"most_anomalous={most_anomalous}: expected at most {MOST_ON_SHEET}")
    if out is not None and (typed_path(out) / TABLE).exists():
        raise UsageError(f"out={out} already has a {TABLE}; choose another folder")
    if data is not None and data_changes:
        raise UsageError("data and data_changes are both given; change data itself")
    checkpoint, root = find(Path(ckpt)), typed_path(images)
    held_out_data = run_data(ckpt, data_changes) if data is None else data
    if held_out_data is None and data_changes:
        raise UsageError(
            f"data.{next(iter(data_changes))} needs data=NAME as well, because {ckpt} has no "
            "config of its run"
        )
    files = list_images(root)
    model = load(ckpt, parse_device(device))
    names = parse_scores(score, model)
    if not Scorer(model).is_batch_independent():
        log("this model's scores depend on the batch; images are scored one by one")
        batch_size = 1

    def compute(origin: Origin) -> Calibration:
        assert held_out_data is not None
        try:
            return calibrate(model, held_out_data, names, origin, batch_size, data is None)
        except DataMissing as error:
            hint = "or give other held-out images: data=NAME data.root=FOLDER"
            raise DataMissing(f"{error}; {hint}") from error

    description = None if held_out_data is None else held_out_data.describe()
    calibration = calibrated(checkpoint, description, held_out, names, compute, log)
    detector = ConformalDetector({n: calibration.scores[n] for n in names}, false_alarms)
    found = folder_images(root, files, model.image_shape, calibration.origin.data)
    folder = results_folder(
        {"model": family_of(ckpt, type(model).__name__), "data": root.resolve().name},
        "ood_score",
        out,
        new=TABLE,
    )
    if not found.readable:
        write_table(folder / TABLE, found, names, None)
        raise InputError(
            f"none of {len(found.names):,} images can be read; {folder / TABLE} has the reasons"
        )
    scorer = Scorer(model, names, calibration.thresholds)
    scores = score_all(scorer, found.images, batch_size)
    results = Results(scores, detector(scores))
    write_table(folder / TABLE, found, names, results)
    if most_anomalous:
        draw_most_anomalous(folder / SHEET, found, results, most_anomalous)
    text = summary(found, results, detector, calibration.data)
    return OODScores(
        folder,
        f"{text}\ntable and contact sheet: {folder}",
        SOME_UNREADABLE if found.reasons else 0,
        tuple(found.readable),
        results,
        dict(found.reasons),
    )


def parse_scores(requested: str | None, model: Model) -> tuple[str, ...]:
    """The names of the scores to use; by default the latent NLL if the model has it.

    Raises:
        UserError: if the model has no scores.
        UsageError: if the model does not have a requested score.
    """
    defaults = Scorer(model).defaults
    if requested is None:
        return ("nll",) if "nll" in defaults else defaults[:1]
    names = tuple(requested.split("+"))
    if len(set(names)) < len(names):
        raise UsageError(
            f"score={requested}: expected different scores, such as nll+reconstruction"
        )
    try:
        return Scorer(model, names).names
    except InputError as error:
        raise UsageError(f"score={requested}: {error}") from error


def log(line: str) -> None:
    """Print progress without buffering."""
    print(printable(line), flush=True)
