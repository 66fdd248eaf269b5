"""What ``invert.py`` does: recover by all processes, then measure, draw and write."""

from __future__ import annotations

from collections.abc import Callable, Sized
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.cli.inversion_options import RECOVER, parse, write
from lightning_gans.cli.inversion_words import Request
from lightning_gans.cli.one_run import one_run
from lightning_gans.data import DataModule, Folder
from lightning_gans.data.images import ImageFiles
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.inversion import (
    AllRestartsDiverged,
    FoolDiscriminator,
    FromEncoder,
    FromPrior,
    FromZeros,
    Scaled,
    Start,
    recover,
)
from lightning_gans.inversion.inverter import Inverter, Parts, Shares, gather
from lightning_gans.inversion.probes import noise, shifted
from lightning_gans.inversion.report import report
from lightning_gans.losses import AdversarialLoss
from lightning_gans.metrics.digit_features import trained_digit_classifier
from lightning_gans.models import Model
from lightning_gans.models.base.load import load
from lightning_gans.rng import stream
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import ROOT, new_run

Images = Dataset[tuple[Tensor, Tensor]]


def run(request: Request) -> None:
    """Run an understood command; its results are in a new folder below ``runs``.

    Raises:
        UserError: for what cannot be done, in one line. What was recovered before is written.
    """
    with one_run(MisconfigurationException):
        _run(request)


def _run(request: Request) -> None:
    settings, made = parse(request)
    model = load(settings.ckpt)
    if "decode" not in model.verbs:
        raise UserError(
            f"{settings.ckpt} holds a {type(model).__name__}, which has no generator to invert; "
            "give the checkpoint of a model that makes images"
        )
    data, name = open_data(settings, made, model, request)
    classes = () if settings.probe == "noise" else data.classes
    options = {key: made[key] for key in RECOVER}
    if settings.fool_discriminator:
        options["regularizer"] = fool(model)
    condition = conditions(model, settings.category, classes)
    classify = classifier(settings.classifier, model, classes)
    begin = start(settings.start, model)
    change = probe(settings.probe, model, settings.seed)
    data.prepare_data()
    data.setup("predict")
    n = len(cast(Sized, data.validation_set))
    n = n if settings.n is None else min(n, settings.n)
    parts = Parts(
        data.validation_set, n, max(1, settings.codes_at_once // settings.restarts), change
    )
    names = {"model": family(settings.ckpt, model), "data": name}

    def new_folder() -> Path:
        folder = new_run(names, "invert")
        write(settings, folder)
        if settings.images is not None:
            files = enumerate(cast(ImageFiles, data.validation_set).paths[:n])
            (folder / "images.txt").write_text("".join(f"{i}\t{path}\n" for i, path in files))
        return folder

    inverter = Inverter(
        Scaled(model.generator, model.prior.scale()),
        model.prior,
        partial(recover, start=begin, **options),
        new_folder,
        condition,
        model,
    )
    # a process without a part would have nothing to wait for
    devices = min(settings.devices, len(parts))
    trainer = make_trainer(settings.accelerator, devices, settings.num_nodes)
    trainer.predict(inverter, Shares(parts), return_predictions=False)
    if not trainer.is_global_zero:
        return
    model.cpu()
    recovery, lost = gather(inverter.folder, parts)
    if recovery is not None:
        x, y = (torch.cat(v) for v in zip(*(parts[i][:2] for i in range(len(parts))), strict=True))
        found = recovery.indices
        labels = y[found] if classify is not None else None
        print(report(inverter.folder, recovery, x[found], model.prior, labels, classify))
    if lost:
        raise AllRestartsDiverged(lost, recovery)


def make_trainer(accelerator: str, devices: int, num_nodes: int) -> Trainer:
    """The processes, and nothing of what training needs.

    Raises:
        UserError: if there is no such accelerator here.
    """
    several = devices * num_nodes > 1
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            # shares are of whole parts: one process may wait for another for hours
            strategy=DDPStrategy(timeout=timedelta(days=30)) if several else "auto",
            inference_mode=False,  # a descent needs gradients
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except ValueError as error:
        raise UserError(f"accelerator={accelerator}: {' '.join(str(error).split())}") from error


def open_data(
    settings: Namespace, made: Namespace, model: Model, request: Request
) -> tuple[DataModule, str]:
    """The data to invert, and what to call them.

    Raises:
        UserError: if their images are not of the shape that the model makes.
    """
    if settings.images is None:
        data, name = made.data, request.data.stem if request.data else "data"
    else:
        shape = model.image_shape
        if len(shape) != 3 or shape[1] != shape[2]:
            raise UserError(
                f"images=FOLDER is for models of square images, this one makes {shape}; give data="
            )
        channels, height, _ = shape
        data = Folder(
            settings.images,
            height,
            channels=1 if channels == 1 else 3,
            validation=0,
            on_error="skip",
        )
        name = Path(settings.images).resolve().name
    if data.image_shape != model.image_shape:
        raise InputError(
            f"expected images of shape {model.image_shape}, as the model makes, but {name} has "
            f"{data.image_shape}"
        )
    return data, name


def conditions(
    model: Model, category: int | None, classes: tuple[int, ...]
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """How class-conditional generators get their conditions: as told, by reading, from labels.

    Raises:
        UsageError: if there is no way.
    """
    categories = model.categories
    if categories is None:
        if category is not None:
            raise UsageError(f"category={category}: {type(model).__name__} has no categories")
        return None
    if category is not None:
        return lambda x, y: categories.condition(category, len(x))
    if "cluster" in model.verbs:
        return lambda x, y: categories.condition(model.cluster(x), len(x))
    if classes == categories.classes:
        return lambda x, y: categories.condition(y, len(x))
    raise UsageError(
        f"{type(model).__name__} makes images of a given class, which these images' labels do not "
        "tell; give category=NUMBER"
    )


def fool(model: Model) -> FoolDiscriminator:
    """The regulariser with the model's own discriminator, and its loss if it has one."""
    discriminator = getattr(model, "discriminator", None)
    if discriminator is None:
        raise UsageError(f"regularizer=fool_discriminator: {type(model).__name__} has none")
    if model.categories is not None:
        raise UsageError(
            f"regularizer=fool_discriminator: the discriminator of a {type(model).__name__} judges "
            "by class; it is for models without classes"
        )
    loss = getattr(model, "loss", None)
    return FoolDiscriminator(discriminator, loss if isinstance(loss, AdversarialLoss) else None)


def start(name: str, model: Model) -> Start:
    """Where the descent begins."""
    if name == "encoder":
        if "encode" not in model.verbs:
            raise UsageError(f"start=encoder: {type(model).__name__} has no encoder")
        return FromEncoder(model.encode)
    if name not in ("prior", "zeros"):
        raise UsageError(f"start={name}: expected prior, zeros or encoder")
    return FromPrior() if name == "prior" else FromZeros()


def probe(name: str | None, model: Model, seed: int) -> Callable[[Tensor, int], Tensor] | None:
    """What is inverted in place of the images: ``noise``, or the images ``shifted:RIGHT,DOWN``."""
    if name is None:
        return None
    if len(model.image_shape) != 3:
        raise UsageError(f"probe={name} is for images, this model makes {model.image_shape}")
    if name == "noise":
        return lambda x, first: noise(len(x), model.image_shape, stream(f"noise/{first}", seed))
    kind, _, pixels = name.partition(":")
    try:
        right, down = map(int, pixels.split(","))
    except ValueError:
        kind = ""
    if kind != "shifted":
        raise UsageError(f"probe={name}: expected noise, or shifted:RIGHT,DOWN such as shifted:4,0")
    return lambda x, first: shifted(x, right, down)


def classifier(
    name: str | None, model: Model, classes: tuple[int, ...]
) -> Callable[[Tensor], Tensor] | None:
    """Images to class indices, for the accuracy of reconstructions.

    Raises:
        UsageError: if it does not fit the images or their labels.
    """
    if name is None:
        return None
    if len(classes) != 1:
        raise UsageError(f"classifier={name}: the images have no labels of one kind to compare to")
    if name == "digits":
        digits = trained_digit_classifier()
        shape: tuple[int, ...] = (1, 32, 32)
        known: tuple[int, ...] = (10,)

        def classify(x: Tensor) -> Tensor:
            logits: Tensor = digits(x.clamp(-1, 1))
            return logits.argmax(1)

    else:
        judge = load(name)
        if "classify" not in judge.verbs:
            raise UsageError(f"classifier={name}: a {type(judge).__name__} does not classify")
        shape, known = judge.image_shape, judge.classes

        def classify(x: Tensor) -> Tensor:
            return judge.classify(x.clamp(-1, 1))

    if (shape, known) != (model.image_shape, classes):
        raise UsageError(
            f"classifier={name} sees images {shape} of {known} classes, these are "
            f"{model.image_shape} of {classes}"
        )
    return classify


def family(ckpt: str, model: Model) -> str:
    """The model's name among the runs: the one its own run has, or else its class."""
    folders = find(Path(ckpt)).resolve().parents
    if len(folders) > 4 and folders[4].name == ROOT:
        return folders[3].name
    return type(model).__name__.lower()
