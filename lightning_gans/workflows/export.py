"""A trained model as a folder for others, with a card, programs and a calibration."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lightning_gans import __version__
from lightning_gans.callbacks.pictures import grid, paired
from lightning_gans.data import DataModule
from lightning_gans.errors import UsageError, UserError, reason
from lightning_gans.exports.card import Facts, card
from lightning_gans.exports.examples import Preparation, example
from lightning_gans.exports.hub import check_repository, push_to_hub, required_hub
from lightning_gans.exports.modules import parts_of
from lightning_gans.exports.ood_file import ood_values, portable_scores
from lightning_gans.exports.programs import (
    check_onnx,
    onnx_missing,
    traced,
    write_onnx,
    write_torch,
)
from lightning_gans.models import Generates, Model, Reconstructs
from lightning_gans.models.base.constructor_spec import constructor_spec
from lightning_gans.models.base.load import load
from lightning_gans.ood.calibration import (
    Calibration,
    Origin,
    calibrated,
    checksum,
)
from lightning_gans.ood.held_out import calibrate
from lightning_gans.ood.scorer import Scorer
from lightning_gans.paths import typed_path
from lightning_gans.ranges import OpenUnitInterval, PositiveInt, checked
from lightning_gans.rng import stream
from lightning_gans.runs.checkpoints import find, read
from lightning_gans.runs.exported import write_config, write_weights
from lightning_gans.runs.folder import EXPORTED_CONFIG, calibration_file
from lightning_gans.runs.layout import CONFIG, family_of, is_complete, names_of
from lightning_gans.runs.metrics_csv import FILE
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.report import read as read_log
from lightning_gans.text import printable
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_config_of, run_data

FORMATS = ("safetensors", "onnx", "torch")
CARD, OOD = "README.md", "ood.json"
# images in the picture of samples, and pairs in that of reconstructions
SAMPLES, PAIRS, COLUMNS = 32, 8, 8


@dataclass(frozen=True)
class Exported(Outcome):
    """An exported folder.

    Attributes:
        differences: of each program from the network, by file.
        commit: the address on the hub; empty if it was not uploaded.
    """

    differences: Mapping[str, float] | None = None
    commit: str = ""


@dataclass(frozen=True)
class Settings:
    """What a person chose, and how long the model was trained."""

    formats: tuple[str, ...]
    false_alarms: float
    licence: str
    iterations: int


@checked
def export(
    ckpt: str,
    formats: str | None = None,
    data: DataModule | None = None,
    data_changes: dict[str, Any] | None = None,
    false_alarms: OpenUnitInterval = 0.05,
    held_out: PositiveInt | None = None,
    licence: str = "unknown",
    hub: str | None = None,
    private: bool = False,
    out: str | None = None,
    batch_size: PositiveInt = 250,
    device: str = "auto",
) -> Exported:
    """Write a trained model into a folder for others: weights, programs, pictures and a card.

    lightning-gans export ckpt=runs/dlsgan/mnist5k/TIME out=digits
    lightning-gans export ckpt=RUN out=digits formats=safetensors,onnx,torch hub=USER/NAME

    The folder has averaged weights and the model's constructor as plain data, which
    lightning_gans.from_pretrained and every ckpt= read; generator and encoder as ONNX and as .pt2
    of torch.export, each compared with the network; programs that use them without this package;
    and the OOD scores of held-out images, so that p-values can be computed anywhere.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        formats: which, separated by commas: safetensors, onnx, torch; all by default, without onnx
            where its packages are not installed.
        data: its validation images are the held-out images; the data of the run by default.
        data_changes: arguments to change in the data of the run, such as data.root=FOLDER.
        false_alarms: the share of ID images that may be called OOD.
        held_out: the maximum number of held-out images, drawn at random; by default 10,000.
        licence: of the weights, for the card, such as mit or cc-by-4.0.
        hub: USER/NAME of a repository to upload to; needs huggingface_hub.
        private: whether a new repository there is hidden from others.
        out: the folder, instead of a new one in runs.
        batch_size: the number of held-out images that are scored at once.
        device: auto, cpu or cuda; where held-out images are scored.

    Returns:
        The folder, and how far programs differ from the networks.

    Raises:
        UsageError: if an argument is wrong, or a package is missing.
        UserError: if a program cannot be written, or differs from its network by more than 1e-4.
    """
    chosen, note = choose_formats(formats)
    if hub is not None:
        check_repository(hub, "hub= expects the name of a repository")
        required_hub()
    if out is not None and is_complete(typed_path(out), EXPORTED_CONFIG):
        raise UsageError(f"out={out} already has an exported model; choose another folder")
    if data is not None and data_changes:
        raise UsageError("data and data_changes are both given; change data itself")
    checkpoint = find(Path(ckpt))
    content = read(checkpoint)
    model = load(checkpoint, parse_device(device))
    place = {
        "model": family_of(checkpoint, type(model).__name__),
        "data": names_of(checkpoint.parent).get("data", "exported"),
    }
    request = {"command": "export", "version": __version__, "checkpoint": checksum(checkpoint)}
    with (
        new_results(place, "export", request, out, new=EXPORTED_CONFIG) as folder,
        tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as name,
    ):
        made = Path(name)
        own, why = held_out_data(ckpt, data, data_changes)
        calibration, why_not = calibration_of(
            model, checkpoint, own, data is None, held_out, batch_size, why
        )
        try:
            differences, files = write_networks(model.cpu(), chosen, made)
        except UserError as error:
            if formats is not None or "onnx" not in chosen:
                raise
            chosen, note = ("safetensors", "torch"), f"without ONNX: {error}"
            for unfinished in made.glob("*.*"):
                unfinished.unlink()
            differences, files = write_networks(model, chosen, made)
        settings = Settings(chosen, false_alarms, licence, int(content.get("global_step", 0)))
        told = why_not
        if calibration is not None:
            told = write_ood(model, calibration, false_alarms, made)
            files[OOD] = "OOD scores of held-out images, and the threshold"
        describe(
            model, own, calibration, settings, last_metrics(ckpt), differences, files, told, made
        )
        publish(made, folder)
    lines = [f"{name} differs from the model by {apart:.1e}" for name, apart in differences.items()]
    lines += [note] if note else []
    lines += [f"without an OOD calibration: {why_not}"] if why_not else []
    lines.append(f"card, weights and pictures: {folder}")
    commit = "" if hub is None else push_to_hub(folder, hub, private=private)
    lines += [f"on the hub: {commit}"] if commit else []
    return Exported(folder, "\n".join(lines), 0, differences, commit)


def write_ood(model: Model, calibration: Calibration, false_alarms: float, folder: Path) -> str:
    """Write ``ood.json``; a paragraph for the card."""
    names = portable_scores(model)
    ood = ood_values(model, calibration, names, false_alarms)
    (folder / OOD).write_text(f"{json.dumps(ood)}\n", encoding="utf-8")
    return (
        f"`{OOD}` has the scores of {len(calibration):,} held-out images ({calibration.data}). A "
        f"score of `{names[0]}` above {ood['thresholds'][names[0]]:.6g} calls an image OOD; "
        f"{100 * false_alarms:g} % of images like those of the training are called so too. Other "
        f"scores: {', '.join(f'`{name}`' for name in names[1:]) or 'none'}."
    )


def describe(
    model: Model,
    data: DataModule | None,
    calibration: Calibration | None,
    settings: Settings,
    metrics: Mapping[str, float],
    differences: Mapping[str, float],
    files: dict[str, str],
    ood: str,
    folder: Path,
) -> None:
    """Write weights, pictures, examples, the card and the config.

    Args:
        model: the exported one, on the CPU.
        data: of the run, if known.
        calibration: the scores of held-out images, if there are any.
        settings: what the person chose.
        metrics: of the last evaluation.
        differences: of programs from their networks, by file.
        files: what has been written, to which these are added.
        ood: on the OOD calibration, for the card.
        folder: where to.
    """
    preparation = preparation_of(data, calibration)
    pictures = draw(model, data, folder)
    examples = {}
    for kind in ("onnx", "torch"):
        if kind in settings.formats:
            file, text = f"example_{kind}.py", example(model, preparation, kind, OOD in files)
            examples[file] = text
            (folder / file).write_text(text, encoding="utf-8")
            files[file] = "a program that uses the files, as printed above"
    spec, not_saved = constructor_spec(model)
    if "safetensors" in settings.formats:
        weights = write_weights(folder, model.state_dict())
        files[weights.name] = "the weights"
        if calibration is not None:
            carry(calibration, preparation, weights)
            files[calibration_file(weights).name] = "the OOD scores, for lightning_gans"
    files |= {EXPORTED_CONFIG: "the model's constructor, as plain data", **pictures}
    facts = Facts(
        title=f"{type(model).__name__} of {data_name(data)}",
        data=data_words(data),
        iterations=settings.iterations,
        metrics=metrics,
        files=files,
        differences=differences,
        examples=examples,
        licence=settings.licence,
        pictures=pictures,
        extra=[f"classes: {printable(', '.join(label))}" for label in model.class_names or ()],
        ood=ood if OOD in files else f"No OOD scores: {ood}." if ood else "",
    )
    (folder / CARD).write_text(card(model, facts), encoding="utf-8")
    write_config(
        folder,
        {
            "version": __version__,
            "model": spec,
            "not_saved": not_saved,
            "has_averages": model.has_averages,
            "iterations": settings.iterations,
            "image_shape": list(model.image_shape),
            "class_names": model.class_names and [list(label) for label in model.class_names],
            "capabilities": list(model.capabilities),
            "preparation": {"crop": preparation.crop, "padding": preparation.padding},
            "data": data_name(data),
            "metrics": metrics,
            "formats": list(settings.formats),
            "differences": differences,
        },
    )


def choose_formats(formats: str | None) -> tuple[tuple[str, ...], str]:
    """The formats, and a line on those that are left out.

    Raises:
        UsageError: for an unknown format, or if a package of one that was asked for is missing.
    """
    if formats is None:
        if missing := onnx_missing():
            return ("safetensors", "torch"), (
                f"without ONNX, which needs {', '.join(missing)}: "
                "pip install 'lightning_gans[export]'"
            )
        return FORMATS, ""
    chosen = tuple(dict.fromkeys(part.strip() for part in formats.split(",")))
    for part in chosen:
        if part not in FORMATS:
            raise UsageError(f"formats={formats}: expected {', '.join(FORMATS)}, got '{part}'")
    if "onnx" in chosen:
        check_onnx()
    return chosen, ""


def held_out_data(
    ckpt: str, data: DataModule | None, changes: dict[str, Any] | None
) -> tuple[DataModule | None, str]:
    """The data of a run, ready to be read; or None, and why not.

    Raises:
        UserError: if the person named the data, and they cannot be read.
    """
    try:
        found = run_data(ckpt, changes) if data is None else data
        if found is None:
            return None, "the run has no config.yaml, so its data are unknown; give data=NAME"
        found.prepare_data()
        found.setup("predict")
        return found, ""
    except (UserError, OSError, ValueError) as error:
        if data is not None or changes:
            raise
        return None, f"the data of the run cannot be read: {reason(error)}"


def calibration_of(
    model: Model,
    checkpoint: Path,
    data: DataModule | None,
    is_training_data: bool,
    most: int | None,
    batch_size: int,
    why: str,
) -> tuple[Calibration | None, str]:
    """The scores of held-out images; or None, and why there are none."""
    names = portable_scores(model)
    if not names:
        return None, f"a {type(model).__name__} has no OOD score"
    if data is None and not calibration_file(checkpoint).is_file():
        return None, why
    if not Scorer(model).is_batch_independent():
        batch_size = 1
    compute = partial(_calibrate, model, data, names, batch_size, is_training_data)
    description = None if data is None else data.describe()
    try:
        return calibrated(checkpoint, description, most, names, compute, log), ""
    except UserError as error:
        if not is_training_data:
            raise
        return None, reason(error)


def _calibrate(
    model: Model,
    data: DataModule | None,
    names: tuple[str, ...],
    batch_size: int,
    is_training_data: bool,
    origin: Origin,
) -> Calibration:
    assert data is not None
    return calibrate(model, data, names, origin, batch_size, is_training_data)


def carry(calibration: Calibration, preparation: Preparation, weights: Path) -> None:
    """Write the calibration beside exported weights, without the paths of this machine."""
    described = json.loads(calibration.origin.data)
    told: dict[str, object] = {"class_path": described["class_path"]}
    if preparation.crop != "center":
        told["init_args"] = {"crop": preparation.crop}
    if preparation.padding:
        told["padding"] = preparation.padding
    origin = Origin(checksum(weights), json.dumps(told, sort_keys=True), calibration.origin.most)
    carried = Calibration(calibration.scores, origin, calibration.thresholds)
    carried.save(calibration_file(weights))


def preparation_of(data: DataModule | None, calibration: Calibration | None) -> Preparation:
    """How image files are prepared."""
    if data is not None:
        return Preparation(data.crop, data.padding)
    if calibration is None:
        return Preparation()
    described = json.loads(calibration.origin.data)
    crop = (described.get("init_args") or {}).get("crop", "center")
    return Preparation(crop, described.get("padding", 0))


def write_networks(
    model: Model, formats: tuple[str, ...], folder: Path
) -> tuple[dict[str, float], dict[str, str]]:
    """Write programs; how far each differs from its network, and what it is, by file."""
    differences, files = {}, {}
    for part in parts_of(model) if {"onnx", "torch"} & set(formats) else ():
        program = traced(part)
        what = f"({', '.join(part.inputs)}) to ({', '.join(part.outputs)})"
        if "onnx" in formats:
            path = folder / f"{part.name}.onnx"
            differences[path.name] = write_onnx(part, program, path)
            files[path.name] = f"the {part.name}, {what}, as ONNX"
        if "torch" in formats:
            path = folder / f"{part.name}.pt2"
            differences[path.name] = write_torch(part, program, path)
            files[path.name] = f"the {part.name}, {what}, for torch.export.load"
    return differences, files


@torch.no_grad()
def draw(model: Model, data: DataModule | None, folder: Path) -> dict[str, str]:
    """Draw samples and reconstructions; captions by file."""
    drawn: dict[str, str] = {}
    if len(model.image_shape) != 3:
        return drawn
    if isinstance(model, Generates):
        picture = grid(model.generate(SAMPLES, stream("export/samples", seed=0)), COLUMNS)
        save_picture(picture, folder / "samples.png")
        drawn["samples.png"] = "Samples, not chosen."
    if isinstance(model, Reconstructs) and data is not None:
        images = [x for x, _ in islice(iter_validation(data), PAIRS)]
        if images:
            picture = grid(paired(torch.stack(images), model, len(images)), len(images))
            save_picture(picture, folder / "reconstructions.png")
            drawn["reconstructions.png"] = (
                "The first held-out images, and below each its reconstruction."
            )
    return drawn


def iter_validation(data: DataModule) -> Any:
    """The validation images of prepared data, one by one."""
    held_out = data.validation_set
    return (held_out[index] for index in range(len(held_out)))  # type: ignore[arg-type]


def save_picture(picture: Tensor, path: Path) -> None:
    """Write uint8 (3, height, width) as PNG; small images are enlarged."""
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    factor = max(1, 512 // image.width)
    size = (image.width * factor, image.height * factor)
    image.resize(size, Image.Resampling.NEAREST).save(path)


def last_metrics(ckpt: str) -> dict[str, float]:
    """The measurements of the run's last evaluation; {} without a run."""
    config = run_config_of(ckpt)
    if config is None:
        return {}
    try:
        found = read_log(config.parent / FILE)
    except UserError:
        return {}
    series = {name: found.series[name] for name in found.measured if name != "evaluation/samples"}
    last = max((steps[-1] for steps, _ in series.values()), default=0.0)
    return {n: values[-1] for n, (steps, values) in sorted(series.items()) if steps[-1] == last}


def data_name(data: DataModule | None) -> str:
    """What data are called, without paths."""
    return "unknown data" if data is None else data.name


def data_words(data: DataModule | None) -> str:
    """What data are, in words."""
    if data is None:
        return "unknown data"
    held = len(data.validation_set)  # type: ignore[arg-type]
    return f"{type(data).__name__} ({data.name}), of which {held:,} images were held out"


def publish(made: Path, folder: Path) -> None:
    """Move complete files into the folder; the config, by which it is known, comes last."""
    files = sorted(made.iterdir(), key=lambda path: path.name == EXPORTED_CONFIG)
    for path in files:
        shutil.move(path, folder / path.name)
    # it is of this call and names folders of this machine; a run's config would be looked for in it
    (folder / CONFIG).unlink(missing_ok=True)


def log(line: str) -> None:
    """Print progress without buffering."""
    print(printable(line), flush=True)
