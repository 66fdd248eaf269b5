"""Recovery of the latents of images under any trained generator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, cast

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.utils.data import Dataset

from lightning_gans import __version__
from lightning_gans.data import DataModule, Folder
from lightning_gans.data.images import unreadable
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError, Stopped, UsageError, UserError, reason
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
from lightning_gans.inversion.inverter import ImageParts, Inverter, Shares, gather
from lightning_gans.inversion.probes import noise, shifted
from lightning_gans.losses import AdversarialLoss
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Decodes, Encodes, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.ood.calibration import checksum
from lightning_gans.ood.folder_images import list_images
from lightning_gans.paths import typed_path
from lightning_gans.priors import Prior
from lightning_gans.ranges import PositiveInt, checked
from lightning_gans.rng import stream
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import family_of, is_complete
from lightning_gans.runs.parts import Parts, finished_parts, new_results
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.runs.tensor_files import content_hash
from lightning_gans.text import escape, printable, printable_lines
from lightning_gans.workflows.conditions import conditions
from lightning_gans.workflows.image_classifier import image_classifier
from lightning_gans.workflows.image_folder import check_apart, image_folder
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.seeds import parse_category

RESULT, NAMES = "recovery.safetensors", "images.txt"
# the exit status if some images could not be read
SOME_UNREADABLE = 3


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
    category: str | None = None,
    classifier: str | None = None,
    probe: str | None = None,
    restarts: PositiveInt = 16,
    codes_at_once: PositiveInt = 1024,
    devices: PositiveInt = 1,
    num_nodes: PositiveInt = 1,
    accelerator: str = "auto",
    out: str | None = None,
    **options: Any,
) -> Inversion:
    """Recover the latents of images by gradient descent, and test whether they fit the prior.

    lightning-gans invert ckpt=runs/lsgan/mnist/TIME data=mnist data.root=data n=100
    lightning-gans invert ckpt=RUN images=photos regularizer=wasserstein weight=0.1
    lightning-gans invert ckpt=RUN data=mnist constraint=logistic_cutoff constraint.steepness=2

    Exit status: 0 all images were inverted, 3 some could not be read, 1 some diverged or none was
    inverted, 2 the command line was wrong, 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP; the
    last line then says how to go on from the images that are finished.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        data: the data module whose validation images are inverted.
        images: a folder of images to invert, instead of data.
        n: the number of images, from the first; all by default.
        regularizer: keeps codes plausible; ``fool_discriminator`` uses the model's discriminator.
        start: where the descent begins; ``encoder`` begins at the codes of the model's encoder.
        category: of all images, for class-conditional models: a name or number, or one for each
            label, separated by commas; by default that of their labels, or found by the model.
        classifier: for the accuracy of reconstructions: ``digits``, or a Classifier's run.
        probe: invert something else than the images: ``noise``, or the images
            ``shifted:RIGHT,DOWN``, such as shifted:4,0.
        restarts: the number of codes for each image.
        codes_at_once: the maximum number of codes in memory.
        devices: the number of processes that share the images, per machine.
        num_nodes: the number of machines.
        accelerator: cpu, gpu or auto.
        out: a folder for the results, instead of a new one in runs.
        options: of :func:`lightning_gans.inversion.recover`.

    Returns:
        The recovery, and the folder of its report.

    Raises:
        UserError: if the inversion is not possible. Latents recovered before are kept.
    """
    if (data is None) == (images is None):
        problem = "no images are named" if data is None else "data and images are both named"
        raise UsageError(f"{problem}; give data=NAME or images=FOLDER")
    if out is not None and is_complete(typed_path(out), RESULT):
        raise UsageError(f"out={out} already has a {RESULT}; choose another folder")
    root = None if images is None else image_folder(images)
    # a training that goes on writes newer ones
    checkpoint = find(Path(ckpt))
    check_apart(root, out)
    model = load(checkpoint)
    if not isinstance(model, Decodes):
        raise UserError(
            f"{ckpt} holds a {type(model).__name__}, which has no generator to invert; "
            "give the checkpoint of a model that makes images"
        )
    source = folder_data(root, model) if root is not None else cast(DataModule, data)
    name = root.resolve().name if root is not None else source.name
    if source.image_shape != model.image_shape:
        raise InputError(
            f"expected images of shape {model.image_shape}, as the model makes, but {name} has "
            f"{source.image_shape}"
        )
    names = None if root is None else list_images(root)
    classes = () if probe == "noise" else source.classes
    penalty = own_discriminator(model) if regularizer == "fool_discriminator" else regularizer
    condition = conditions(model, parse_category(model, category), classes, source.class_names)
    classify = image_classifier(classifier, model, classes)
    begin = make_start(start, model)

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
            on_step=None,  # not an option of the command line
            **options,
        )

    dataset = all_images(source, root)
    count = min(size(dataset), n or size(dataset))
    if not count:
        raise InputError(f"expected images to invert, {name} has none")
    change = make_probe(probe, model, options.get("seed", 0))
    images_in_parts = ImageParts(dataset, range(count), max(1, codes_at_once // restarts), change)
    # a process without images would have nothing to do
    trainer = make_trainer(accelerator, min(devices, len(images_in_parts)), num_nodes)
    request = {
        "command": "invert",
        "version": __version__,
        "checkpoint": checksum(checkpoint),
        "images": source.describe() if root is None else str(root.resolve()),
        "n": count if root is None else n,
        "category": category,
        "probe": probe,
        "device": trainer.strategy.root_device.type,
        "regularizer": described(penalty),
        "start": start,
        "restarts": restarts,
        "codes_at_once": codes_at_once,
        **{key: described(value) for key, value in options.items()},
    }
    place = {"model": family_of(checkpoint, type(model).__name__), "data": name}
    files: list[Path] = []
    with StopSignals() as signals, ExitStack() as stack:

        def open_parts(folder: Path | None) -> Parts:
            if folder is None:
                results = stack.enter_context(
                    new_results(place, "invert", request, out, new=RESULT)
                )
                parts = stack.enter_context(finished_parts(results, request, log, signals))
                parts.reset_stop()
            else:
                parts = Parts(folder, request, log, signals)
            if names is not None:
                listed = parts.listed("images", names[:n], is_all=n is None)
                number = {file: i for i, file in enumerate(names)}
                images_in_parts.items = [number.get(file) for file in listed]
                files[:] = [cast(Path, root) / file for file in listed]
            return parts

        inverter = Inverter(
            Scaled(model.generator, model.prior.scale()),
            model.prior,
            recover_part,
            open_parts,
            condition,
            model,
        )
        predict(trainer, inverter, images_in_parts, signals)
        if not trainer.is_global_zero:
            return Inversion(inverter.parts.results, "")
        model.cpu()
        return report_parts(inverter.parts, images_in_parts, files, model, classify)


def predict(trainer: Trainer, inverter: Inverter, images: ImageParts, signals: StopSignals) -> None:
    """Recover the parts that are not finished, in all processes.

    Raises:
        UserError: if the inversion is not possible.
        Stopped: if this process, or another, got a signal to stop.
    """
    shares = Shares(images, lambda: inverter.parts.is_stopping)
    try:
        with signals.deferred(), enough_memory("choose a smaller codes_at_once, or restarts"):
            trainer.predict(inverter, shares, return_predictions=False)
    except MisconfigurationException as error:
        raise UserError(reason(error)) from error
    except SystemExit:
        # what Lightning makes of a second Ctrl-C
        if signals.caught is not None:
            raise Stopped(signals.caught) from None
        raise
    # another process may have got the signal
    if trainer.is_global_zero and (told := inverter.parts.reset_stop()) is not None:
        raise Stopped(told)


def report_parts(
    parts: Parts,
    images: ImageParts,
    files: Sequence[Path],
    model: Decodes,
    classify: Callable[[Tensor], Tensor] | None,
) -> Inversion:
    """The results of all parts; these are deleted unless some images could not be read.

    Args:
        parts: finished.
        images: that they are of.
        files: of these, if they are files of a folder.
        model: that generates images.
        classify: images to class indices, for the accuracy of reconstructions.

    Raises:
        AllRestartsDiverged: if all restarts of some images diverged; the others are saved.
        InputError: if no image could be read.
    """
    found = gather(parts, images)
    if files:
        names = "".join(f"{i}\t{escape(file)}\n" for i, file in enumerate(files))
        write_text(parts.results / NAMES, names)
    text, recovery = "", found.recovery
    if recovery is not None:
        labels = found.y if classify is not None else None
        encoder = model if isinstance(model, Reconstructs) else None
        text = report(parts.results, recovery, found.x, model.prior, labels, classify, encoder)
    if found.reasons:
        text += f"\n{unreadable(by_name(found.reasons, files))}"
    if len(found.reasons) == len(images.items):
        raise InputError(text.strip())
    if found.diverged:
        print(printable_lines(text))
        raise AllRestartsDiverged(found.diverged, recovery)
    if not found.reasons:
        parts.remove()
    status = SOME_UNREADABLE if found.reasons else 0
    text = f"{text.rstrip()}\n\nreport, latents and pictures: {parts.results}"
    return Inversion(parts.results, text, status, recovery=recovery)


def by_name(reasons: Mapping[int, str], names: Sequence[object]) -> dict[str, str]:
    """The reasons by the names of images, or by their positions if they have none."""
    return {str(names[i]) if names else f"image {i}": why for i, why in sorted(reasons.items())}


def all_images(source: DataModule, root: Path | None) -> Dataset[Batch]:
    """The images to invert: all of a folder, readable or not, or the validation images of data."""
    if isinstance(source, Folder) and root is not None:
        return source.all_images()
    source.prepare_data()
    source.setup("predict")
    return source.validation_set


def described(value: object) -> object:
    """An option as plain data: equal for options that give the same results."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, Tensor):
        return content_hash({"": value}, {})
    if isinstance(value, nn.Module):
        return [type(value).__qualname__, content_hash(value.state_dict(), {})]
    name = getattr(value, "__qualname__", type(value).__qualname__)
    return [name, described(getattr(value, "__dict__", {}))]


def log(line: str) -> None:
    """Print progress to stderr without buffering."""
    print(printable(line), file=sys.stderr, flush=True)


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
    except (ValueError, ImportError, MisconfigurationException) as error:
        raise UserError(f"accelerator={accelerator}: {' '.join(str(error).split())}") from error


def folder_data(root: Path, model: Model) -> Folder:
    """The images of a folder in the shape that the model takes.

    Raises:
        UserError: if the model does not make square images.
    """
    shape = model.image_shape
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UserError(
            f"images=FOLDER needs a model of square images, this one makes {shape}; give data="
        )
    channels: Literal[1, 3] = 1 if shape[0] == 1 else 3
    # each is decoded once
    return Folder(str(root), shape[1], channels=channels, validation=0, cache=0)


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
