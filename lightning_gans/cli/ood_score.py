"""Scores a person's own images: ``python -m lightning_gans.ood score ckpt=RUN images=FOLDER``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lightning_gans.cli import CONFIGS
from lightning_gans.cli.errors import refusals
from lightning_gans.cli.inversion import family
from lightning_gans.cli.one_run import one_run
from lightning_gans.cli.ood_score_words import (
    Words,
    describe,
    parse,
    score_usage,
    understand_score,
)
from lightning_gans.data.data_module import DataMissing
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.models import Model
from lightning_gans.models.base.load import load
from lightning_gans.ood.calibration import Calibration, Origin, calibrated
from lightning_gans.ood.conformal_detector import ConformalDetector
from lightning_gans.ood.held_out import calibrate, calibrated_scorer, is_batch_independent
from lightning_gans.ood.own_images import list_images, own_images
from lightning_gans.ood.own_report import Result, draw_strangest, summary, write_table
from lightning_gans.ood.scoring import score_all, scorer
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.folder import FOLDER
from lightning_gans.runs.layout import CONFIG, new_run

TABLE, SHEET = "scores.csv", "strangest.png"
# the status that tells that some images could not be read
PARTLY = 3


def score(arguments: Sequence[str], configs: Path = CONFIGS) -> int:
    """Run a command line, the words after ``score``.

    Returns:
        The exit status: 0 if all images were scored, 3 if some could not be read.

    Raises:
        UsageError: if the command line is wrong.
        UserError: if nothing was scored, in one line that says why.
    """
    if not arguments or {"-h", "--help"} & set(arguments):
        print(score_usage(configs))
        return 0
    with one_run():
        return _score(understand_score(arguments, configs))


def _score(words: Words) -> int:
    for key, what in (("ckpt", "RUN, a run's folder or a checkpoint"), ("images", "FOLDER")):
        if not words.options.get(key):
            raise UsageError(f"no {key} named; give {key}={what}")
    file, root = find(Path(words.options["ckpt"])), Path(words.options["images"]).expanduser()
    maker, settings = parse(words, config_beside(file))
    if settings.out is not None and (Path(settings.out) / TABLE).exists():
        raise UsageError(f"out={settings.out}: there is a {TABLE} already; choose another folder")
    found = list_images(root)
    model = load(file, device(settings.device))
    names = choose(settings.score, model)
    size = settings.batch_size
    if not is_batch_independent(scorer(model)):
        say("this model sees how much a batch varies; images are scored one by one")
        size = 1

    def compute(origin: Origin) -> Calibration:
        try:
            with refusals():
                data = maker.instantiate_classes(settings).data
                return calibrate(model, data, names, origin, size, words.given)
        except DataMissing as error:
            hint = "or name other held-out images: data=NAME data.root=FOLDER"
            raise DataMissing(f"{error}; {hint}") from error

    known = calibrated(file, describe(settings), settings.held_out, names, compute, say)
    judge = ConformalDetector({name: known.scores[name] for name in names}, settings.false_alarms)
    own = own_images(root, found, model.image_shape, known.origin.data)
    folder = new_folder(settings.out, family(str(file), model), root)
    (folder / CONFIG).write_text(maker.dump(settings, skip_unset=False))
    if not own.readable:
        write_table(folder / TABLE, own, names, None)
        raise InputError(
            f"none of {len(own.names):,} images can be read; {folder / TABLE} says why"
        )
    scores = score_all(calibrated_scorer(model, names, known.thresholds), own.images, size)
    result = Result(scores, judge(scores))
    write_table(folder / TABLE, own, names, result)
    if settings.strangest:
        draw_strangest(folder / SHEET, own, result, settings.strangest)
    print(summary(own, result, judge, known.data))
    print(f"table and contact sheet: {folder}")
    return PARTLY if own.reasons else 0


def config_beside(file: Path) -> Path | None:
    """The config of the run that a checkpoint is of, if it is there."""
    run = file.parent.parent if file.parent.name == FOLDER else file.parent
    return run / CONFIG if (run / CONFIG).is_file() else None


def choose(asked: str | None, model: Model) -> tuple[str, ...]:
    """The names of the scores that decide: those asked for, else the latent NLL if there is one.

    Raises:
        UserError: if the model can score no images.
        UsageError: if it has no such score.
    """
    standard = scorer(model).standard
    if asked is None:
        return ("nll",) if "nll" in standard else standard[:1]
    names = tuple(asked.split("+"))
    if len(set(names)) < len(names):
        raise UsageError(f"score={asked}: expected different scores, as nll+reconstruction")
    try:
        return scorer(model, names).names
    except InputError as error:
        raise UsageError(f"score={asked}: {error}") from error


def device(name: str) -> torch.device:
    """Where the model runs; "auto" is a GPU if there is one.

    Raises:
        UsageError: if there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=name).device
    # whatever torch makes of a name or of a missing driver
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device={name}: expected auto, cpu or cuda; {reason}") from error


def new_folder(out: str | None, model: str, images: Path) -> Path:
    """The folder of the results: the one that was asked for, or a new one below runs.

    Raises:
        UserError: if there are results in it, as of another call in the same job of a cluster.
    """
    if out is None:
        folder = new_run({"model": model, "data": images.resolve().name}, "ood_score")
    else:
        folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / TABLE).exists():
        raise UserError(f"there is a {TABLE} in {folder} already; give out=FOLDER, another one")
    return folder


def say(line: str) -> None:
    """Tell what is going on, at once."""
    print(line, flush=True)
