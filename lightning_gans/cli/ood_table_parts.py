"""What ``ood table`` compares: trained models by name, and the data they are compared on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from jsonargparse import Namespace

from lightning_gans.cli.errors import refusals
from lightning_gans.cli.inversion import family
from lightning_gans.cli.ood_score import device
from lightning_gans.cli.ood_table_words import FOLD, Words, parse
from lightning_gans.data import DataMissing, DataModule
from lightning_gans.errors import InputError, UsageError
from lightning_gans.models.base.load import load
from lightning_gans.ood.datasets import OODData
from lightning_gans.ood.datasets.ood_data import batches, size
from lightning_gans.ood.scorer import Scorer
from lightning_gans.ood.scoring import scorer
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import ROOT

# training images that are enough to learn from
ENOUGH = 10_000


def open_models(words: Words, settings: Namespace, fold: int | None) -> dict[str, Scorer]:
    """The scorers of all models, by names that differ.

    Raises:
        UserError: if there is no such checkpoint, or a model has no score that is asked for.
    """
    where = device(settings.device)
    found: dict[str, Scorer] = {}
    for pattern in words.checkpoints:
        model = load(pattern if fold is None else pattern.replace(FOLD, str(fold)), where)
        made = scorer(model)
        if settings.scores is not None:
            names = settings.scores.split(",")
            there = [name for name in names if name in made.offered]
            if not there:
                raise UsageError(
                    f"scores={settings.scores}: {type(model).__name__} gives none of them; it "
                    f"gives {', '.join(made.offered)}"
                )
            made = scorer(model, there)
        found[label(pattern, fold, made, found)] = made
    return found


def label(pattern: str, fold: int | None, made: Scorer, taken: Mapping[str, Scorer]) -> str:
    """What to call a model: as its runs are called, or else as its run's folder."""
    path = pattern if fold is None else pattern.replace(FOLD, str(fold))
    file = find(Path(path)).resolve()
    name = family(path, made.model)
    if ROOT not in file.parts:
        run = Path(pattern).resolve()
        run = run.parent if run.suffix == ".ckpt" else run
        run = run.parent if run.name == file.parent.name else run
        name = run.name.replace(FOLD, "").strip("-_. ") or name
    count = sum(other.partition(" ")[0] == name for other in taken)
    return f"{name} ({count + 1})" if count else name


def open_data(words: Words, fold: int | None, scorers: Mapping[str, Scorer]) -> OODData:
    """The ID images and the sets, opened.

    Raises:
        UserError: if they are not such data, not there, or not of the shape that models take.
    """
    maker, settings = parse(words, fold)
    with refusals():
        data: DataModule = maker.instantiate(settings).data
    if not isinstance(data, OODData):
        raise UsageError(
            f"data={words.data.stem} has no OOD sets; give data=mnist_ood or data=celeba_ood"
        )
    for name, made in scorers.items():
        if made.model.image_shape != data.image_shape:
            raise InputError(
                f"expected images of shape {made.model.image_shape}, as {name} takes, but "
                f"{words.data.stem} has {data.image_shape}; choose other data, or data.resolution"
            )
    data.prepare_data()
    data.setup("predict")
    if not data.sets:
        raise DataMissing(
            f"none of the OOD sets {', '.join(data.missing)} is there; "
            f"{next(iter(data.missing.values()))}"
        )
    return data


def learn(scorers: Mapping[str, Scorer], data: OODData, batch_size: int) -> None:
    """Let scorers learn of training images; without these, say what will not be in the table."""
    if not any(made.learns for made in scorers.values()):
        return
    try:
        data.setup("fit")
    except DataMissing as error:
        say(f"without scores that learn from training images, as ReAct: {error}")
        return
    n = min(ENOUGH, size(data.train_set))
    for made in scorers.values():
        if made.learns:
            made.fit(x for x, _ in batches(data.train_set, n, batch_size))


def say(line: str) -> None:
    """Tell what is going on, at once."""
    print(line, file=sys.stderr, flush=True)
