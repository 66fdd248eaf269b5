"""All measures of generated images, or of a model, against real images."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans import __version__
from lightning_gans.data import DataModule
from lightning_gans.data.images import unreadable
from lightning_gans.data.reading import read
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.metrics import (
    PSNR,
    SSIM,
    DigitFeatures,
    FeatureExtractor,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    TooFewSamples,
    to_uint8,
)
from lightning_gans.models import Decodes, Generates, Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.batches import size
from lightning_gans.ood.folder_images import PreparedImages, list_images
from lightning_gans.paths import typed_path
from lightning_gans.ranges import PositiveInt, Side, checked
from lightning_gans.rng import stream
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.exported import read_config
from lightning_gans.runs.folder import is_exported
from lightning_gans.runs.layout import family_of, is_complete
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.text import printable
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.image_features import image_features
from lightning_gans.workflows.image_folder import check_apart, image_folder
from lightning_gans.workflows.input_images import prepared
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data

RESULT, REPORT = "metrics.json", "evaluation.md"
# the exit status if some images could not be read
SOME_UNREADABLE = 3
# how many latents are drawn from one random stream: an image does not depend on batch_size
BLOCK = 250
# the measures for which less is better; of the others, more is
LOWER_IS_BETTER = ("fid", "kid", "class_fid")


@dataclass(frozen=True)
class Measure:
    """The value of one measure.

    Attributes:
        value: of all images of two folders; of a model, the mean over the seeds.
        sd: the standard deviation; None if there is none.
        values: those that the deviation is of.
        higher_is_better: or else lower is.
    """

    value: float
    sd: float | None
    values: tuple[float, ...]
    higher_is_better: bool


@dataclass(frozen=True)
class Evaluated(Outcome):
    """All measures.

    Attributes:
        measures: by name, such as ``fid/inception``.
    """

    measures: dict[str, Measure] | None = None


class Images(NamedTuple):
    """Images that are measured.

    Attributes:
        dataset: that reads them.
        names: of their files; empty if they are not files of a folder.
        source: what they are called after.
        classes: how many classes each of their labels has; () if they have no labels.
    """

    dataset: Dataset[Batch]
    names: Sequence[str]
    source: str
    classes: tuple[int, ...] = ()


@checked
def evaluate(
    ckpt: str | None = None,
    real: str | None = None,
    fake: str | None = None,
    data: DataModule | None = None,
    data_changes: dict[str, Any] | None = None,
    features: FeatureExtractor | None = None,
    seeds: PositiveInt = 3,
    n: PositiveInt | None = None,
    resolution: Side | None = None,
    k: PositiveInt = 3,
    out: str | None = None,
    batch_size: PositiveInt = 250,
    device: str = "auto",
) -> Evaluated:
    """Measure generated images, or a trained model, against real images.

    lightning-gans evaluate real=photos fake=samples
    lightning-gans evaluate ckpt=runs/dlsgan/mnist5k/TIME
    lightning-gans evaluate ckpt=RUN real=photos seeds=5 features=digit_features

    FID, KID, precision, recall, density and coverage; of a model that reconstructs images also PSNR
    and SSIM of its reconstructions; of a class-conditional model on data with these classes also
    the FID of each class and its mean. Of a model, values are means and standard deviations over
    the seeds of its images. Of two folders, the value is that of all images, and the deviation is
    over random halves of both. Writes metrics.json and evaluation.md.

    Exit status: 0 all images were measured, 3 some could not be read, 1 nothing was measured, 2 the
    command line was wrong.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        real: a folder of real images.
        fake: a folder of generated images, instead of ckpt.
        data: its validation images are the real ones, instead of a folder; of a model, the data of
            its run by default.
        data_changes: arguments to change in the data of the run, such as data.root=FOLDER.
        features: through which images are compared; by default Inception's if their weights are on
            this machine, otherwise features that need no download: of the shipped classifier for
            data of handwritten digits, of a shipped random network for all other images.
        seeds: the number of seeds of generated images, or of halves of two folders.
        n: the maximum number of real images, from the first, and of generated ones; by default all
            of a folder. A model generates as many as there are real ones.
        resolution: height and width to which the images of two folders are cropped and resized; by
            default the shorter side of the first generated image.
        k: which nearest neighbour gives the radius for precision and recall.
        out: a folder for the results, instead of a new one in runs.
        batch_size: the number of images that are computed at once.
        device: auto, cpu or cuda.

    Returns:
        The measures, and the folder of their tables.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if nothing can be measured.
    """
    check_arguments(ckpt, real, fake, data, data_changes, resolution)
    if out is not None and is_complete(typed_path(out), RESULT):
        raise UsageError(f"out={out} already has a {RESULT}; choose another folder")
    roots = {name: named_folder(name, value) for name, value in (("real", real), ("fake", fake))}
    for root in roots.values():
        check_apart(root, out)
    where = parse_device(device)
    subject = (
        of_model(ckpt, where, roots["real"], data, data_changes)
        if ckpt is not None
        else of_folder(roots["fake"], roots["real"], data, resolution)
    )
    extractor, choice = image_features(features, subject.shape, where, subject.digits)
    log(choice)
    place = {"model": subject.family, "data": subject.reals.source}
    notes = {"command": "evaluate", "version": __version__, "of": subject.what}
    with (
        StopSignals(),
        new_results(place, "evaluate", notes, out, new=RESULT) as folder,
        enough_memory("choose a smaller batch_size"),
        torch.no_grad(),
    ):
        found = compared(subject, extractor, seeds, n, k, batch_size)
        if not found.measures:
            raise InputError(f"nothing could be measured: {'; '.join(found.lines)}")
        text = report(subject, found, choice)
        content = {
            "of": subject.what,
            "real": subject.reals.source,
            "features": extractor.name,
            "images": {"real": found.counts[0], "generated": found.counts[1]},
            "seeds": seeds,
            "spread": found.spread,
            "measures": {name: asdict(measure) for name, measure in found.measures.items()},
            "unreadable": found.reasons,
        }
        write_text(folder / REPORT, text)
        write_text(folder / RESULT, json.dumps(content, indent=1) + "\n")
    status = SOME_UNREADABLE if found.reasons else 0
    return Evaluated(folder, f"{text}\ntables: {folder}", status, measures=found.measures)


class Subject(NamedTuple):
    """What is measured against what.

    Attributes:
        model: whose images are measured; None if they are files.
        fakes: these files; None if there is a model.
        reals: the real images.
        shape: of an image.
        family: what the folder of results is called after.
        what: the checkpoint or folder, for the report.
        digits: whether the images are known to be handwritten digits.
    """

    model: Model | None
    fakes: Images | None
    reals: Images
    shape: tuple[int, ...]
    family: str
    what: str
    digits: bool


def of_model(
    ckpt: str,
    device: torch.device,
    root: Path | None,
    data: DataModule | None,
    data_changes: Mapping[str, Any] | None,
) -> Subject:
    """A model and the real images for it."""
    checkpoint = find(Path(ckpt))
    model = load(checkpoint, device)
    check_model(model, ckpt)
    reals = real_images(ckpt, checkpoint, model, root, data, data_changes)
    family = family_of(checkpoint, type(model).__name__)
    digits = data.has_digits if data is not None else is_of_digits(checkpoint)
    return Subject(model, None, reals, model.image_shape, family, str(checkpoint), digits)


def is_of_digits(checkpoint: Path) -> bool:
    """Whether a model is known to have been trained on handwritten digits.

    A run's config names its data; an exported model tells through which features it was measured.
    """
    with suppress(UserError):  # unknown, or of a class that is not trusted
        if is_exported(checkpoint.parent):
            metrics = read_config(checkpoint.parent).get("metrics")
            return isinstance(metrics, dict) and f"fid/{DigitFeatures.name}" in metrics
        data = run_data(str(checkpoint))
        return data is not None and data.has_digits
    return False


def of_folder(
    fake: Path | None, real: Path | None, data: DataModule | None, resolution: int | None
) -> Subject:
    """Generated images in a folder and the real images for them."""
    assert fake is not None
    side, channels = first_image(fake)
    side = resolution or side
    fakes = folder_images(fake, side, channels)
    shape = (channels, side, side)
    reals = data_images(data, shape) if real is None else folder_images(real, side, channels)
    digits = data is not None and data.has_digits
    return Subject(None, fakes, reals, shape, fakes.source, str(fake), digits)


class Found(NamedTuple):
    """What was measured.

    Attributes:
        measures: by name.
        counts: how many real and generated images these are of.
        spread: what the deviations are of.
        lines: on what was not measured, or is to be read with care.
        reasons: by name, why images could not be read.
    """

    measures: dict[str, Measure]
    counts: tuple[int, int]
    spread: str
    lines: list[str]
    reasons: dict[str, str]


def compared(
    subject: Subject,
    extractor: FeatureExtractor,
    seeds: int,
    n: int | None,
    k: int,
    batch_size: int,
) -> Found:
    """Measure a model or a folder against real images; arguments as of :func:`evaluate`."""
    log("real images")
    real = Sample(extractor, subject.model, subject.reals, n, batch_size)
    reasons = {f"real {name}": why for name, why in real.reasons.items()}
    count, made, lines = len(real.features), 0, list[str]()
    measures: dict[str, Measure] = {}
    spread = "the model draws no images, and its reconstructions have one value"
    if subject.fakes is not None:
        log("generated images")
        fake = Sample(extractor, None, subject.fakes, n, batch_size)
        reasons |= {f"fake {name}": why for name, why in fake.reasons.items()}
        made = len(fake.features)
        whole, lines = measured(real.features, fake.features, extractor.name, k)
        halves = []
        for seed in range(seeds):
            log(f"random halves, number {seed}")
            pair = half(real.features, "real", seed), half(fake.features, "fake", seed)
            halves.append(measured(*pair, extractor.name, k)[0])
        measures = of_halves(whole, halves)
        spread = (
            f"values are of all images, deviations are over {seeds} random halves of both folders, "
            "drawn without replacement"
        )
    elif isinstance(subject.model, Generates):
        tables = []
        for seed in range(seeds):
            log(f"generated images of seed {seed}")
            fake_features, conditions = [], []
            for x, condition in generated(subject.model, seed, count, batch_size):
                fake_features.append(extractor(to_uint8(x)))
                conditions.append(condition)
            fakes = torch.cat(fake_features)
            made = len(fakes)
            values, lines = measured(real.features, fakes, extractor.name, k)
            if is_of_these_classes(subject.model, subject.reals):
                drawn = torch.cat([c for c in conditions if c is not None]).argmax(1)
                by_class, more = class_distances(
                    real.features, real.labels, fakes, drawn, extractor.name
                )
                values, lines = {**values, **by_class}, lines + more
            tables.append(values)
        measures = over_seeds(tables)
        spread = f"values are means, and deviations over {seeds} seeds of generated images"
    lines += real.left_out
    if made and min(count, made) <= extractor.num_features:
        lines.append(
            f"fid/{extractor.name} of so few images is biased upwards: compare it only with values "
            f"of as many images, or take more than {extractor.num_features:,}"
        )
    return Found(
        {**measures, **real.reconstruction_quality()}, (count, made), spread, lines, reasons
    )


def report(subject: Subject, found: Found, choice: str) -> str:
    """The measures as Markdown, with how they were obtained below them.

    Args:
        subject: what was measured.
        found: the measures.
        choice: a line on the features.
    """
    count, made = found.counts
    lines = [
        f"{count:,} real and {made:,} generated images; {found.spread}",
        choice,
        *found.lines,
        *([unreadable(found.reasons)] if found.reasons else []),
    ]
    title = f"# {printable(subject.what)} against {printable(subject.reals.source)}"
    return "\n".join([title, "", table(found.measures), "", *(f"- {line}" for line in lines), ""])


def check_arguments(
    ckpt: str | None,
    real: str | None,
    fake: str | None,
    data: DataModule | None,
    data_changes: Mapping[str, Any] | None,
    resolution: int | None,
) -> None:
    """Raise a UsageError for arguments that do not fit each other."""
    if (ckpt is None) == (fake is None):
        problem = "nothing is named to evaluate" if ckpt is None else "ckpt and fake are both named"
        raise UsageError(f"{problem}; give ckpt=RUN, or fake=FOLDER with real=FOLDER")
    if real is not None and (data is not None or data_changes):
        raise UsageError("real and data are both given; real images are of one of them")
    if data is not None and data_changes:
        raise UsageError("data and data_changes are both given; change data itself")
    if fake is not None and real is None and data is None:
        raise UsageError("no real images are named; give real=FOLDER or data=NAME")
    if resolution is not None and ckpt is not None:
        raise UsageError("resolution is for two folders; a model's images have its own")


def named_folder(option: str, typed: str | None) -> Path | None:
    """The folder that an option names; None if it names none.

    Raises:
        UsageError: if there is no such folder.
    """
    if typed is None:
        return None
    try:
        return image_folder(typed)
    except UsageError as error:
        raise UsageError(str(error).replace("images=", f"{option}=")) from None


def check_model(model: Model, ckpt: str) -> None:
    """Refuse a model of which nothing can be measured.

    Raises:
        UserError: if it has neither samples nor reconstructions of images.
    """
    if len(model.image_shape) != 3:
        raise UserError(
            f"{ckpt} holds a model of points of shape {model.image_shape}; the measures are of "
            "images"
        )
    if not isinstance(model, (Generates, Reconstructs)):
        raise UserError(
            f"{ckpt} holds a {type(model).__name__}, which neither generates nor reconstructs "
            "images; give the checkpoint of a model that does"
        )


def first_image(root: Path) -> tuple[int, Literal[1, 3]]:
    """The shorter side and the channels of the first image of a folder that can be opened.

    Raises:
        UserError: if there is none.
    """
    for name in list_images(root):
        try:
            with Image.open(root / name) as image:
                channels: Literal[1, 3] = 1 if image.mode in ("1", "L", "I", "I;16", "F") else 3
                return min(image.size), channels
        # a decoder may raise anything
        except Exception:
            continue
    raise InputError(f"none of the images in {root} can be opened")


def folder_images(root: Path, side: int, channels: Literal[1, 3]) -> Images:
    """All images of a folder, cropped to squares and resized."""
    names = list_images(root)
    paths = [str(root / name) for name in names]
    return Images(
        PreparedImages(paths, side, channels, "center"), names, root.resolve().name or "images"
    )


def data_images(data: DataModule | None, shape: tuple[int, ...]) -> Images:
    """The validation images of data.

    Raises:
        InputError: if they are of another shape.
    """
    assert data is not None
    if data.image_shape != shape:
        raise InputError(
            f"expected images of shape {shape}, but {data.name} has {data.image_shape}; choose "
            "other data, or data.resolution"
        )
    data.prepare_data()
    data.setup("predict")
    return Images(data.validation_set, (), data.name, tuple(data.classes))


def real_images(
    ckpt: str,
    checkpoint: Path,
    model: Model,
    root: Path | None,
    data: DataModule | None,
    data_changes: Mapping[str, Any] | None,
) -> Images:
    """The real images that a model is compared with: of a folder, of data, or of its run.

    Raises:
        UserError: if there are none.
    """
    if root is not None:
        assert isinstance(model, Decodes)
        names = list_images(root)
        paths = [str(root / name) for name in names]
        return Images(prepared(checkpoint, model, paths), names, root.resolve().name or "images")
    found = run_data(ckpt, data_changes) if data is None else data
    if found is None:
        raise UsageError(
            f"{ckpt} has no config of its run, which would name its data; give real=FOLDER or "
            "data=NAME"
        )
    return data_images(found, model.image_shape)


class Sample:
    """Features of images, read in batches, and how a model reconstructs these.

    Args:
        extractor: prepared.
        model: whose reconstructions are measured, if it reconstructs; None measures none.
        images: to be read.
        n: at most so many, from the first.
        batch_size: images that are read at once.

    Attributes:
        features: of the readable images, (k, F).
        labels: of these, (k,) or (k, labels).
        reasons: by name, why the others could not be read.
        left_out: lines on what was not measured.

    Raises:
        InputError: if none could be read.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        model: Model | None,
        images: Images,
        n: int | None,
        batch_size: int,
    ) -> None:
        total = min(size(images.dataset), n or size(images.dataset))
        self.reasons: dict[str, str] = {}
        self.left_out: list[str] = []
        self._quality: dict[str, PSNR | SSIM] = {}
        if isinstance(model, Reconstructs):
            self._quality["psnr/real"] = PSNR()
            if min(model.image_shape[1:]) >= SSIM.window:
                self._quality["ssim/real"] = SSIM()
            else:
                self.left_out.append(
                    f"ssim/real is not measured: it needs images of {SSIM.window} pixels"
                )
        parts, labels = [], []
        for start in range(0, total, batch_size):
            found = read(images.dataset, range(start, min(start + batch_size, total)))
            for index, why in found.reasons.items():
                self.reasons[images.names[index] if images.names else f"image {index}"] = why
            if not found.indices:
                continue
            parts.append(extractor(to_uint8(found.x)))
            labels.append(found.y)
            if isinstance(model, Reconstructs):
                made = model.reconstruct(found.x.to(model.device)).cpu()
                for metric in self._quality.values():
                    metric.update(found.x, made)
        if not parts:
            why = next(iter(self.reasons.values()), "there are none")
            raise InputError(f"no image of {images.source} can be read: {why}")
        self.features, self.labels = torch.cat(parts), torch.cat(labels)

    def reconstruction_quality(self) -> dict[str, Measure]:
        """PSNR and SSIM of the reconstructions, which no seed changes."""
        return {
            name: Measure(value := float(metric.compute()), None, (value,), True)
            for name, metric in self._quality.items()
        }


def generated(
    model: Generates, seed: int, count: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Images of a seed and their conditions, in batches; the first of many are those of few."""
    for start in range(0, count, BLOCK):
        random = stream(f"evaluate/{start // BLOCK}", seed, device=model.prior.device)
        z = model.prior.sample(BLOCK, random)
        c = None if model.categories is None else model.categories.sample(BLOCK, random)
        stop = min(BLOCK, count - start)
        for first in range(0, stop, batch_size):
            rows = slice(first, min(first + batch_size, stop))
            condition = None if c is None else c[rows]
            x = model.decode(z[rows], condition)
            if not x.isfinite().all():
                raise InputError("the model makes images that are not finite; it has diverged")
            yield x, condition


def is_of_these_classes(model: Generates, reals: Images) -> bool:
    """Whether a model's only condition is the class of the real images."""
    if model.categories is None or len(reals.classes) != 1:
        return False
    return tuple(model.categories.classes) == reals.classes


def class_distances(
    real: Tensor, classes: Tensor, fake: Tensor, conditions: Tensor, name: str
) -> tuple[dict[str, float], list[str]]:
    """The FID of each class that has enough images, their mean, and lines on the other classes.

    Named as :class:`~lightning_gans.callbacks.measurements.ClassDistance` does.

    Args:
        real: features of real images, (n, F).
        classes: of these images, (n,).
        fake: features of generated images, (m, F).
        conditions: the classes that these images were to show, (m,).
        name: of the features.
    """
    classes, conditions = classes.flatten().to(real.device), conditions.to(fake.device)
    found: dict[int, float] = {}
    lines = []
    for k in sorted({*classes.tolist(), *conditions.tolist()}):
        distance = FrechetDistance(real.shape[1]).to(real.device)
        distance.update(real[classes == k], real=True)
        distance.update(fake[conditions == k], real=False)
        try:
            found[k] = float(distance.compute())
        except TooFewSamples as error:
            lines.append(f"not measured: class_fid_{k} ({error})")
    if not found:
        return {}, lines
    values = {"class_fid": mean(found.values())} | {f"class_fid_{k}": v for k, v in found.items()}
    return {f"{key}/{name}": value for key, value in values.items()}, lines


def measured(real: Tensor, fake: Tensor, name: str, k: int) -> tuple[dict[str, float], list[str]]:
    """All measures of features by name, and lines on those that need more images."""
    values: dict[str, float] = {}
    lines = []
    metrics = {
        "fid": FrechetDistance(real.shape[1]).to(real.device),
        "kid": KernelDistance().to(real.device),
        "precision and recall": PrecisionRecall(k).to(real.device),
    }
    for what, metric in metrics.items():
        metric.update(real, real=True)
        metric.update(fake, real=False)
        try:
            found = metric.compute()
        except TooFewSamples as error:
            lines.append(f"not measured: {what} ({error})")
            continue
        several = found if isinstance(found, dict) else {what: found}
        values |= {f"{key}/{name}": float(value) for key, value in several.items()}
        if isinstance(found, dict) and "density" not in found:
            lines.append("not measured: density and coverage (too few images)")
    return values, lines


def half(features: Tensor, side: str, seed: int) -> Tensor:
    """A random half of the rows, without replacement.

    Of a mean, the deviation over such halves is that of the mean of all rows. A bootstrap would
    draw rows twice, at distance 0 of each other, which changes what nearest neighbours measure.
    """
    random = stream(f"evaluate/half/{side}", seed)
    chosen = torch.randperm(len(features), generator=random)[: (len(features) + 1) // 2]
    return features[chosen.sort().values.to(features.device)]


def over_seeds(tables: Sequence[Mapping[str, float]]) -> dict[str, Measure]:
    """The mean and deviation of each measure over the seeds that have it."""
    found = {}
    for name in dict.fromkeys(name for values in tables for name in values):
        values = tuple(values[name] for values in tables if name in values)
        found[name] = Measure(mean(values), deviation(values), values, is_higher_better(name))
    return found


def of_halves(
    whole: Mapping[str, float], halves: Sequence[Mapping[str, float]]
) -> dict[str, Measure]:
    """The values of all images, with the deviations over halves."""
    found = {}
    for name, value in whole.items():
        values = tuple(part[name] for part in halves if name in part)
        found[name] = Measure(value, deviation(values), values, is_higher_better(name))
    return found


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation; None of fewer than two values."""
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def is_higher_better(name: str) -> bool:
    """Whether a higher value of a measure is better."""
    return re.sub(r"_\d+$", "", name.partition("/")[0]) not in LOWER_IS_BETTER


def table(measures: Mapping[str, Measure]) -> str:
    """The measures as a Markdown table; an arrow points to where values are better."""
    lines = ["| measure | value | standard deviation |", "|---|---:|---:|"]
    for name, measure in measures.items():
        arrow = "↑" if measure.higher_is_better else "↓"
        spread = "-" if measure.sd is None else f"{measure.sd:.2g}"
        lines.append(f"| {name} {arrow} | {measure.value:.4g} | {spread} |")
    return "\n".join(lines)


def log(line: str) -> None:
    """Print progress to stderr without buffering; stdout is for the table."""
    print(printable(line), file=sys.stderr, flush=True)
