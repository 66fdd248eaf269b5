"""Images whose latents are edited: one element, or one attribute, at a time."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from lightning_gans import __version__
from lightning_gans.data.images import unreadable
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.models import Edits, EditUnit, Reconstructs
from lightning_gans.paths import typed_path
from lightning_gans.priors import Traced
from lightning_gans.ranges import FramesPerSecond, SmallCount, checked, shown
from lightning_gans.runs.atomic import replacing
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import family_of, is_complete
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.runs.tensor_files import write_tensors
from lightning_gans.text import escape
from lightning_gans.workflows.animation import write_gif
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.image_folder import check_apart
from lightning_gans.workflows.input_images import (
    InputImages,
    input_files,
    input_folder,
    load_reconstructing,
    typed_file,
)
from lightning_gans.workflows.invert import SOME_UNREADABLE, by_name
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.picture_table import draw_table, signed, text_width
from lightning_gans.workflows.seeds import Latents, decoded, index_of, with_article

TABLE = "edits.csv"
INFORMATIVE = "informative"
# images in a strip, and in one direction of an animation
STEPS, FRAMES = 7, 24
# elements that move, of those with the most information
MOST = 5


@dataclass(frozen=True)
class Edited(Outcome):
    """Edited images.

    Attributes:
        codes: of the images that could be read, (k, latent_dim), not edited.
        reasons: why the others could not be read, by name.
    """

    codes: Tensor | None = None
    reasons: dict[str, str] = field(default_factory=dict)


class Row(NamedTuple):
    """An image while one element, or one attribute, changes.

    Attributes:
        name: of what changes.
        label: the name, and what else is known of it.
        images: (steps, channels, height, width).
        latents: of the images, (steps, latent_dim); None for an attribute.
    """

    name: str
    label: str
    images: Tensor
    latents: Tensor | None


@checked
def edit(
    ckpt: str,
    image: str | None = None,
    images: str | None = None,
    elements: str | None = None,
    attribute: str | None = None,
    strength: float | None = None,
    keep_others: bool = True,
    unit: Literal["std", "sqrt_dim"] = "std",
    low: float = -3.0,
    high: float = 3.0,
    steps: SmallCount | None = None,
    format: Literal["strip", "gif"] = "strip",  # noqa: A002  (what the option is called)
    fps: FramesPerSecond = 12,
    out: str | None = None,
    device: str = "auto",
) -> Edited:
    """Edit images: move elements of their latents, or attributes, and show what changes.

    lightning-gans edit ckpt=runs/dlsgan/mnist5k/TIME image=seven.png
    lightning-gans edit ckpt=RUN image=face.jpg elements=3,17 from=-2 to=2 format=gif
    lightning-gans edit ckpt=RUN images=faces attribute=0 strength=1

    A strip has the image, its reconstruction in a frame, and the edited images; a row for each
    element, with its share of the information in the latent. Latents are kept beside it.

    Exit status: 0 all images were edited, 3 some could not be read, 1 none was edited, 2 the
    command line was wrong.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        image: an image file, prepared as the images that the model was trained on.
        images: a folder of images, instead of image; each gets a strip of its own.
        elements: the elements that move, one at a time: numbers from 0, such as 3,17, or
            ``informative:5``, the five with the most information, which is the default.
        attribute: what to edit instead of elements, for models that edit attributes: the name of
            the attribute, or its number from 0.
        strength: of the attribute, for one edited image instead of a strip from low to high.
        keep_others: whether the other attributes keep their values.
        unit: what 1 is in a strength: ``std`` a standard deviation of the attribute's score,
            ``sqrt_dim`` the square root of the latent's size, as in the thesis.
        low: where elements begin, in standard deviations of the prior from its mean; for an
            attribute, in the unit. Also from.
        high: where they end; also to.
        steps: edited images in a row; 7 in a strip, 24 in a GIF by default.
        format: ``strip`` is a PNG file, ``gif`` an animation from low to high and back.
        fps: images a second of an animation.
        out: a folder for the results, instead of a new one in runs.
        device: auto, cpu or cuda.

    Returns:
        The codes, and the folder of the strips.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if the model cannot edit, or no image can be read.
    """
    check_choices(image, images, elements, attribute, strength, unit, low, high)
    if out is not None and is_complete(typed_path(out), TABLE):
        raise UsageError(f"out={out} already has a {TABLE}; choose another folder")
    file = None if image is None else typed_file("image", image)
    checkpoint = find(Path(ckpt))
    model = load_reconstructing(checkpoint, ckpt, parse_device(device))
    if images is not None:
        given = input_folder(checkpoint, model, images)
        check_apart(given.root, out)
    else:
        assert file is not None
        given = input_files(checkpoint, model, [file])
    count = steps or (STEPS if format == "strip" else FRAMES)
    values = torch.tensor([strength]) if strength is not None else torch.linspace(low, high, count)
    moves: Moves
    if attribute is not None:
        moves = AttributeMoves(model, attribute, values, keep_others, unit)
    else:
        moves = ElementMoves(
            model, elements or f"{INFORMATIVE}:{min(MOST, model.prior.dim)}", values
        )
    place = {"model": family_of(checkpoint, type(model).__name__), "data": given.source}
    notes = {"command": "edit", "version": __version__, "checkpoint": str(checkpoint)}
    codes: list[Tensor] = []
    reasons: dict[int, str] = {}
    with (
        StopSignals(),
        new_results(place, "edit", notes, out, new=TABLE) as folder,
        enough_memory("choose fewer elements or steps"),
    ):
        for index in range(len(given.names)):
            x, why = given.read(index)
            if x is None:
                reasons[index] = why
                continue
            x = x.to(model.prior.device)
            code = model.encode(x)
            codes.append(code.cpu())
            rows = moves.rows(x, code)
            path = folder / given.result_name(index)
            base = torch.cat([x, model.decode(code)]).cpu()
            draw(path, base, rows, values.tolist(), format, fps)
            keep(path, code.cpu(), rows, values, {**notes, "file": escape(given.names[index])})
        if len(reasons) == len(given.names):
            raise InputError(unreadable(by_name(reasons, given.names)))
        write_list(folder / TABLE, given, reasons, "gif" if format == "gif" else "png")
    text = f"{moves.summary}\n{len(codes):,} {'image' if len(codes) == 1 else 'images'} edited"
    text += f", with latents: {folder}"
    if reasons:
        text += f"\n{unreadable(by_name(reasons, given.names))}"
    named = {given.names[index]: why for index, why in reasons.items()}
    status = SOME_UNREADABLE if reasons else 0
    return Edited(folder, text, status, torch.cat(codes), named)


def check_choices(
    image: str | None,
    images: str | None,
    elements: str | None,
    attribute: str | None,
    strength: float | None,
    unit: EditUnit,
    low: float,
    high: float,
) -> None:
    """Refuse arguments that contradict one another, before a model is loaded.

    Raises:
        UsageError: with what to give.
    """
    if (image is None) == (images is None):
        problem = "no image is named" if image is None else "image and images are both named"
        raise UsageError(f"{problem}; give image=FILE or images=FOLDER")
    if elements is not None and attribute is not None:
        raise UsageError("elements and attribute are both named; give one of them")
    if strength is not None and attribute is None:
        raise UsageError(f"strength={strength:g} needs attribute=NAME as well")
    if unit != "std" and attribute is None:
        raise UsageError(f"unit={unit} is of attributes, and needs attribute=NAME as well")
    if low >= high:
        raise UsageError(f"expected from below to, got from={low:g} to={high:g}")


class Moves:
    """What is changed in an image.

    Attributes:
        summary: a line for the user.
    """

    summary: str

    def rows(self, x: Tensor, code: Tensor) -> list[Row]:
        """The edited images of x, (1, channels, height, width), and its code, (1, latent_dim)."""
        raise NotImplementedError


class ElementMoves(Moves):
    """Elements of the latent that are set to values, one at a time.

    Args:
        model: that decodes them.
        elements: as they were typed.
        values: in standard deviations of the prior from its mean, (steps,).

    Raises:
        UsageError: if the model has no such elements.
    """

    def __init__(self, model: Reconstructs, elements: str, values: Tensor) -> None:
        self.model, self.values = model, values
        self.chosen, self.most = parse_elements(elements, model.prior.dim)
        self.mean, self.std = model.prior.mean, model.prior.variance**0.5
        if not 0 < self.std < math.inf:
            raise UserError(
                f"elements are moved by standard deviations, and those of the prior "
                f"{type(model.prior).__name__} are {self.std}"
            )
        name = "element" if self.most == 1 or len(self.chosen) == 1 else "elements"
        what = (
            f"{name} {', '.join(map(str, self.chosen))}"
            if self.chosen
            else f"the {self.most} most informative {name}"
        )
        source = (
            "of the variance v that the encoder recovers from samples"
            if isinstance(model.prior, Traced)
            else "of the squared change of the image when an element moves by 1"
        )
        self.summary = (
            f"{what}, each from {signed(float(values[0]))} to {signed(float(values[-1]))} "
            f"standard deviations of the prior; a row's percentage is its share {source}"
        )

    def rows(self, x: Tensor, code: Tensor) -> list[Row]:
        information = shares(self.model, code, self.std).cpu()
        chosen = self.chosen
        if not chosen:
            order = information.argsort(descending=True, stable=True)
            chosen = order[: self.most].tolist()
        found = []
        for element in chosen:
            latents = code.cpu().repeat(len(self.values), 1)
            latents[:, element] = self.mean + self.std * self.values
            images = torch.cat([*decoded(self.model, Latents(latents))])
            now = signed((float(code[0, element]) - self.mean) / self.std)
            label = f"element {element}\n{100 * float(information[element]):.1f} %\nnow {now}"
            found.append(Row(f"element {element}", label, images, latents))
        return found


def parse_elements(typed: str, dim: int) -> tuple[list[int], int]:
    """The elements that ``elements=`` names, and how many of the most informative ones.

    >>> parse_elements("3,17", 64), parse_elements("informative:5", 64)
    (([3, 17], 0), ([], 5))

    Raises:
        UsageError: if there are no such elements.
    """
    expected = UsageError(
        f"elements={shown(typed)}: expected different numbers from 0 to {dim - 1}, such as 0,3, or "
        f"{INFORMATIVE}:COUNT with a count from 1 to {dim}"
    )
    name, colon, count = typed.partition(":")
    if colon or name == INFORMATIVE:
        if name != INFORMATIVE or not is_number(count) or not 1 <= int(count) <= dim:
            raise expected
        return [], int(count)
    words = [word.strip() for word in typed.split(",")]
    if not all(is_number(word) and int(word) < dim for word in words):
        raise expected
    found = [int(word) for word in words]
    if len(set(found)) < len(found):
        raise expected
    return found, 0


def is_number(word: str) -> bool:
    """Whether a word is a whole number that is not negative, of a length that can be read."""
    return word.isascii() and word.isdigit() and len(word) < 10


def shares(model: Reconstructs, code: Tensor, std: float) -> Tensor:
    """The share of each element in the information of the latent, (latent_dim,), of sum 1.

    Of a traced prior it is that of v, the variance that the encoder recovers, in all of v: what
    DLSGAN scales elements by (thesis, Eq. 32). Otherwise it is that of the squared change of this
    image when the element moves by a standard deviation.

    Args:
        model: that reconstructs.
        code: of the image, (1, latent_dim).
        std: the standard deviation of an element of the prior.
    """
    if isinstance(model.prior, Traced):
        found = model.prior.v.double()
    else:
        moved = code.cpu() + std * torch.eye(model.prior.dim)
        reconstruction = model.decode(code).cpu()
        found = torch.cat(
            [
                (x - reconstruction).double().square().flatten(1).sum(1)
                for x in decoded(model, Latents(moved))
            ]
        )
    # of a generator that ignores its latent, no element has more than another
    return found / found.sum() if found.sum() > 0 else torch.full_like(found, 1 / len(found))


class AttributeMoves(Moves):
    """An attribute that is given more or less strength.

    Args:
        model: that edits.
        attribute: its name or number.
        values: the strengths, (steps,).
        keep_others: whether all other attributes keep their values.
        unit: of the strengths.

    Raises:
        UserError: if the model does not edit.
    """

    def __init__(
        self,
        model: Reconstructs,
        attribute: str,
        values: Tensor,
        keep_others: bool,
        unit: EditUnit,
    ) -> None:
        if not isinstance(model, Edits):
            raise UserError(
                f"attribute={attribute}: {with_article(type(model).__name__)} edits no attributes, "
                "as an AEDLSGAN does; leave it out to edit elements"
            )
        self.model, self.values, self.keep_others, self.unit = model, values, keep_others, unit
        names = model.attribute_names
        if names:
            self.attribute = index_of("attribute", str(attribute).strip(), len(names), names)
        elif is_number(str(attribute)):
            self.attribute = int(attribute)
        else:
            raise UsageError(f"attribute={shown(attribute)}: expected a number from 0")
        self.name = names[self.attribute] if names else f"attribute {self.attribute}"
        strengths = " to ".join(dict.fromkeys(signed(float(values[i])) for i in (0, -1)))
        told = "standard deviations of its score" if unit == "std" else "√latent_dim"
        self.summary = f"{self.name} of strength {strengths}, in {told}"

    def rows(self, x: Tensor, code: Tensor) -> list[Row]:
        strengths = self.values.to(x.device)
        images = self.model.edit(
            x.expand(len(strengths), -1, -1, -1),
            self.attribute,
            strengths,
            self.keep_others,
            self.unit,
        )
        return [Row(self.name, self.name, images.cpu(), None)]


def draw(
    path: Path,
    base: Tensor,
    rows: Sequence[Row],
    values: Sequence[float],
    format: str,  # noqa: A002
    fps: float,
) -> None:
    """Write a strip or an animation.

    Args:
        path: without an ending.
        base: the image and its reconstruction, (2, channels, height, width).
        rows: the edited images.
        values: of the steps.
        format: ``strip`` or ``gif``.
        fps: frames a second.
    """
    base_headings = ["image", "reconstruction"]
    if format == "strip":
        picture = draw_table(
            torch.stack([torch.cat([base, row.images]) for row in rows]),
            [*base_headings, *map(signed, values)],
            [row.label for row in rows],
            marked=(1,),
        )
        with replacing(path.with_name(f"{path.name}.png")) as new:
            picture.save(new, format="PNG")
        return
    frames: list[Image.Image] = []
    label_width = max(text_width(signed(value)) for value in values)
    for step, value in enumerate(values):
        edited = torch.stack([row.images[step] for row in rows])
        headings = [*base_headings, *(row.label for row in rows)]
        images = torch.cat([base, edited])[None]
        frames.append(draw_table(images, headings, [signed(value)], (1,), label_width))
    write_gif(path.with_name(f"{path.name}.gif"), frames, fps)


def keep(
    path: Path, code: Tensor, rows: Sequence[Row], values: Tensor, notes: dict[str, str]
) -> None:
    """Write the code of an image, and the edited latents by the names of what changed."""
    tensors = {"code": code[0], "values": values}
    tensors |= {row.name: row.latents for row in rows if row.latents is not None}
    write_tensors(path.with_name(f"{path.name}.safetensors"), tensors, notes)


def write_list(path: Path, given: InputImages, reasons: dict[int, str], ending: str) -> None:
    """Write a row for each file: its result, or why it could not be read."""
    with replacing(path) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "result", "latents", "reason"])
        for index, name in enumerate(given.names):
            stem = given.result_name(index)
            made = ["", ""] if index in reasons else [f"{stem}.{ending}", f"{stem}.safetensors"]
            writer.writerow([escape(name), *map(escape, made), reasons.get(index, "")])
