"""Recovery of the latents of images under any trained generator."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from lightning_gans.data import DataModule, Folder
from lightning_gans.data.images import ImageFiles
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.inversion import (
    AllRestartsDiverged,
    FoolDiscriminator,
    FromEncoder,
    FromPrior,
    FromZeros,
    Recovery,
    Regularizer,
    Scaled,
    Start,
    recover,
)
from lightning_gans.inversion.evaluation import report
from lightning_gans.inversion.inverter import Inverter, Parts, Shares, gather
from lightning_gans.inversion.probes import noise, shifted
from lightning_gans.losses import AdversarialLoss
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Decodes, Encodes
from lightning_gans.models.base.load import load
from lightning_gans.priors import Prior
from lightning_gans.ranges import NonNegativeInt, PositiveInt, checked
from lightning_gans.rng import stream
from lightning_gans.runs.layout import family_of, results_folder
from lightning_gans.text import escape, printable_lines
from lightning_gans.workflows.conditions import conditions
from lightning_gans.workflows.image_classifier import image_classifier
from lightning_gans.workflows.outcome import Outcome


@dataclass(frozen=True)
class Inversion(Outcome):
    """The recovered latents.

    Attributes:
        recovery: for all images; None in processes other than the first.
    """

    recovery: Recovery | None = None


@checked
def invert(
    ckpt: str,
    data: DataModule | None = None,
    images: str | None = None,
    n: PositiveInt | None = None,
    regularizer: Regularizer | Literal["fool_discriminator"] | None = None,
    start: Literal["prior", "zeros", "encoder"] = "prior",
    category: NonNegativeInt | None = None,
    classifier: str | None = None,
    probe: str | None = None,
    restarts: PositiveInt = 16,
    codes_at_once: PositiveInt = 1024,
    devices: PositiveInt = 1,
    num_nodes: PositiveInt = 1,
    accelerator: str = "auto",
    **options: Any,
) -> Inversion:
    """Recover the latents of images by gradient descent, and test whether they fit the prior.

    lightning-gans invert ckpt=runs/lsgan/mnist/TIME data=mnist data.root=data n=100
    lightning-gans invert ckpt=RUN images=photos regularizer=wasserstein weight=0.1
    lightning-gans invert ckpt=RUN data=mnist constraint=logistic_cutoff constraint.steepness=2

    Args:
        ckpt: a run's folder, or a checkpoint.
        data: the data module whose validation images are inverted.
        images: a folder of images to invert, instead of data.
        n: the number of images, from the first; all by default.
        regularizer: keeps codes plausible; ``fool_discriminator`` uses the model's discriminator.
        start: where the descent begins; ``encoder`` begins at the codes of the model's encoder.
        category: the category of all images, for class-conditional models.
        classifier: for the accuracy of reconstructions: ``digits``, or a Classifier's run.
        probe: invert something else than the images: ``noise``, or the images
            ``shifted:RIGHT,DOWN``, such as shifted:4,0.
        restarts: the number of codes for each image.
        codes_at_once: the maximum number of codes in memory.
        devices: the number of processes that share the images, per machine.
        num_nodes: the number of machines.
        accelerator: cpu, gpu or auto.
        options: of :func:`lightning_gans.inversion.recover`.

    Returns:
        The recovery, and the folder of its report.

    Raises:
        UserError: if the inversion is not possible. Latents recovered before are kept.
    """
    if (data is None) == (images is None):
        problem = "no images are named" if data is None else "data and images are both named"
        raise UsageError(f"{problem}; give data=NAME or images=FOLDER")
    model = load(ckpt)
    if not isinstance(model, Decodes):
        raise UserError(
            f"{ckpt} holds a {type(model).__name__}, which has no generator to invert; "
            "give the checkpoint of a model that makes images"
        )
    source = folder_data(images, model) if images is not None else cast(DataModule, data)
    name = Path(images).resolve().name if images is not None else source.name
    if source.image_shape != model.image_shape:
        raise InputError(
            f"expected images of shape {model.image_shape}, as the model makes, but {name} has "
            f"{source.image_shape}"
        )
    classes = () if probe == "noise" else source.classes
    penalty = own_discriminator(model) if regularizer == "fool_discriminator" else regularizer
    condition = conditions(model, category, classes)
    classify = image_classifier(classifier, model, classes)
    begin = make_start(start, model)
    change = make_probe(probe, model, options.get("seed", 0))
    source.prepare_data()
    source.setup("predict")
    found = len(cast(Sized, source.validation_set))
    count = found if n is None else min(found, n)
    parts = Parts(source.validation_set, count, max(1, codes_at_once // restarts), change)

    def recover_part(
        generator: nn.Module,
        x: Tensor,
        prior: Prior,
        condition: Tensor | None,
        first: int,
        progress: bool,
    ) -> Recovery:
        return recover(
            generator,
            x,
            prior,
            penalty,
            restarts=restarts,
            codes_at_once=codes_at_once,
            start=begin,
            condition=condition,
            first=first,
            progress=progress,
            **options,
        )

    def make_folder() -> Path:
        folder = results_folder(
            {"model": family_of(ckpt, type(model).__name__), "data": name}, "invert"
        )
        if images is not None:
            files = enumerate(cast(ImageFiles, source.validation_set).paths[:count])
            lines = "".join(f"{i}\t{escape(path)}\n" for i, path in files)
            (folder / "images.txt").write_text(lines, encoding="utf-8")
        return folder

    inverter = Inverter(
        Scaled(model.generator, model.prior.scale()),
        model.prior,
        recover_part,
        make_folder,
        condition,
        model,
    )
    # a process without images would have nothing to do
    trainer = make_trainer(accelerator, min(devices, len(parts)), num_nodes)
    try:
        trainer.predict(inverter, Shares(parts), return_predictions=False)
    except MisconfigurationException as error:
        raise UserError(" ".join(str(error).split())) from error
    if not trainer.is_global_zero:
        return Inversion(inverter.folder, "")
    model.cpu()
    recovery, diverged = gather(inverter.folder, parts)
    text = ""
    if recovery is not None:
        x, y = (torch.cat(v) for v in zip(*(parts[i][:2] for i in range(len(parts))), strict=True))
        indices = recovery.indices
        labels = y[indices] if classify is not None else None
        text = report(inverter.folder, recovery, x[indices], model.prior, labels, classify)
    if diverged:
        print(printable_lines(text))
        raise AllRestartsDiverged(diverged, recovery)
    return Inversion(inverter.folder, text, recovery=recovery)


def make_trainer(accelerator: str, devices: int, num_nodes: int) -> Trainer:
    """A Trainer that starts the processes, without anything that only training needs.

    Raises:
        UserError: if there is no such accelerator.
    """
    several = devices * num_nodes > 1
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            # processes work on whole parts: one may wait for another for hours
            strategy=DDPStrategy(timeout=timedelta(days=30)) if several else "auto",
            inference_mode=False,  # a descent needs gradients
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (ValueError, MisconfigurationException) as error:
        raise UserError(f"accelerator={accelerator}: {' '.join(str(error).split())}") from error


def folder_data(images: str, model: Model) -> Folder:
    """The images of a folder in the shape that the model takes; unreadable files are skipped.

    Raises:
        UserError: if the model does not make square images.
    """
    shape = model.image_shape
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UserError(
            f"images=FOLDER needs a model of square images, this one makes {shape}; give data="
        )
    channels: Literal[1, 3] = 1 if shape[0] == 1 else 3
    return Folder(images, shape[1], channels=channels, validation=0, on_error="skip")


def own_discriminator(model: Model) -> FoolDiscriminator:
    """The regulariser with the model's own discriminator, and its loss if it has one.

    Raises:
        UsageError: if the model has none, or a class-conditional one.
    """
    discriminator = getattr(model, "discriminator", None)
    if discriminator is None:
        raise UsageError(
            f"regularizer=fool_discriminator: {type(model).__name__} has no discriminator"
        )
    if model.categories is not None:
        raise UsageError(
            f"regularizer=fool_discriminator: the discriminator of a {type(model).__name__} is "
            "class-conditional; use a model without classes"
        )
    loss = getattr(model, "loss", None)
    return FoolDiscriminator(discriminator, loss if isinstance(loss, AdversarialLoss) else None)


def make_start(name: str, model: Model) -> Start:
    """Where the descent begins.

    Raises:
        UsageError: if the model has no encoder.
    """
    if name == "encoder":
        if not isinstance(model, Encodes):
            raise UsageError(f"start=encoder: {type(model).__name__} has no encoder")
        return FromEncoder(model.encode)
    return FromPrior() if name == "prior" else FromZeros()


def make_probe(name: str | None, model: Model, seed: int) -> Callable[[Tensor, int], Tensor] | None:
    """A function that replaces images by ``noise``, or by the images ``shifted:RIGHT,DOWN``.

    Raises:
        UsageError: for another name, or a model of points.
    """
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
