"""The path between two images in the latent space of a trained model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from PIL import Image
from torch import Tensor

from lightning_gans import __version__
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.inversion.interpolation import great_circle, linear, slerp
from lightning_gans.models import Classifies, Clusters, Decodes, Encodes, Generates
from lightning_gans.models.base.load import load
from lightning_gans.paths import typed_path
from lightning_gans.priors import Prior
from lightning_gans.ranges import FramesPerSecond, Range, Seed, checked, fits
from lightning_gans.runs.atomic import replacing
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import family_of, is_complete, names_of
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.runs.tensor_files import write_tensors
from lightning_gans.text import escape
from lightning_gans.workflows.animation import (
    ffmpeg,
    write_gif,
    write_mp4,
)
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.input_images import input_files, typed_file
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.picture_table import (
    BACKGROUND,
    as_picture,
    check_pixels,
    draw_table,
    magnification,
)
from lightning_gans.workflows.seeds import Latents, decoded, draw, parse_category, with_article

LATENTS = "latents.safetensors"
ENDINGS = {"strip": "png", "gif": "gif", "mp4": "mp4"}
# images of a strip, and in one direction of an animation
STEPS, FRAMES = 8, 48
# images in a row of a strip
IN_A_ROW = 16


@dataclass(frozen=True)
class Interpolation(Outcome):
    """A path between two images.

    Attributes:
        latents: along the path, both ends included.
    """

    latents: Latents | None = None


@dataclass(frozen=True)
class End:
    """An end of a path.

    Attributes:
        name: as it was typed.
        latents: of one image.
        x: the image file, (1, channels, height, width); None for a seed.
    """

    name: str
    latents: Latents
    x: Tensor | None = None


@checked
def interpolate(
    ckpt: str,
    a: str,
    b: str,
    steps: Annotated[int, Range(2, 1_000)] | None = None,
    path: Literal["linear", "slerp", "circle"] = "linear",
    category: str | None = None,
    format: Literal["strip", "gif", "mp4"] = "strip",  # noqa: A002  (what the option is called)
    fps: FramesPerSecond = 24,
    ping_pong: bool = True,
    out: str | None = None,
    device: str = "auto",
) -> Interpolation:
    """Draw the path between two images, or two seeds, in the latent space of a trained model.

    lightning-gans interpolate ckpt=runs/dlsgan/mnist5k/TIME a=seven.png b=nine.png
    lightning-gans interpolate ckpt=RUN a=0:3 b=0:12 path=slerp format=gif
    lightning-gans interpolate ckpt=RUN a=me.jpg b=5 format=mp4 fps=30

    An end is an image file, or a seed: SEED:NUMBER is the image of that number that
    ``generate seed=SEED`` draws, SEED alone its first one. Latents are kept beside the images.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        a: where the path begins: a file, SEED or SEED:NUMBER.
        b: where it ends.
        steps: images from a to b, both included; 8 in a strip, 48 in an animation by default.
        path: ``linear`` is the straight line, ``slerp`` the great circle around the prior's mean,
            which keeps the norm that draws of a normal prior have. ``circle`` is the whole of it,
            from a in the direction of b and on around the mean back to a, with the norm of a.
        category: of both ends, for class-conditional models: a name or number, or one for each
            label, separated by commas. By default that of a seed is drawn, that of a file is found
            by the model, and it changes along the path as well.
        format: ``strip`` is a PNG file, ``gif`` and ``mp4`` are animations; mp4 needs
            imageio-ffmpeg.
        fps: images a second of an animation.
        ping_pong: whether an animation also goes back from b to a; a circle leads back by itself.
        out: a folder for the results, instead of a new one in runs.
        device: auto, cpu or cuda.

    Returns:
        The latents of the path, and the folder of the images.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if the model cannot do it, or an image cannot be read.
    """
    if out is not None and is_complete(typed_path(out), LATENTS):
        raise UsageError(f"out={out} already has a {LATENTS}; choose another folder")
    typed = [parse_end("a", a), parse_end("b", b)]
    if format == "mp4":
        ffmpeg()  # before seconds of work
    checkpoint = find(Path(ckpt))
    model = load(checkpoint)
    if not isinstance(model, Decodes):
        raise UserError(
            f"{ckpt} holds {with_article(type(model).__name__)}, which makes no images; give the "
            "checkpoint of a model that does"
        )
    if len(model.image_shape) != 3:
        raise UserError(
            "interpolate draws images, and this model makes points; generate format=npz draws those"
        )
    chosen = parse_category(model, category)
    ends = [find_end(end, checkpoint, model, chosen) for end in typed]
    model.to(parse_device(device))
    count = steps or (STEPS if format == "strip" else FRAMES)
    latents = between(model.prior, ends, count, path)
    place = {
        "model": family_of(checkpoint, type(model).__name__),
        "data": names_of(checkpoint.parent).get("data", "samples"),
    }
    notes = {
        "command": "interpolate",
        "version": __version__,
        "checkpoint": str(checkpoint),
        "a": escape(ends[0].name),
        "b": escape(ends[1].name),
        "path": path,
    }
    with (
        StopSignals(),
        new_results(place, "interpolate", notes, out, new=LATENTS) as folder,
        enough_memory("choose fewer steps"),
    ):
        images = torch.cat([*decoded(model, latents)])
        file = folder / f"interpolation.{ENDINGS[format]}"
        if format == "strip":
            with replacing(file) as new:
                strip(images, ends).save(new, format="PNG")
        else:
            factor = magnification(images.shape[-1])
            frames = [as_picture(x, factor) for x in images]
            if path == "circle":  # the last image is the first
                frames, ping_pong = frames[:-1], False
            (write_gif if format == "gif" else write_mp4)(file, frames, fps, ping_pong)
        named = {"latents": latents.z}
        if latents.c is not None:
            named["conditions"] = latents.c
        write_tensors(folder / LATENTS, named, notes)
    text = f"{count} images from {ends[0].name} to {ends[1].name}: {file.name} and {LATENTS} in "
    return Interpolation(folder, f"{text}{folder}", latents=latents)


def parse_end(option: str, typed: str) -> tuple[int, int] | Path:
    """What an option names: the seed and the number of an image, or a file.

    Raises:
        UsageError: if there is no such file, or the seed is out of range.
    """
    text = str(typed).strip()
    found = re.fullmatch(r"([0-9]{1,19})(?::([0-9]{1,18}))?", text)
    if found is None:
        return typed_file(option, text, ", or a seed such as 3 or 0:12")
    seed, number = int(found[1]), int(found[2] or 0)
    if not fits(seed, Seed):
        raise UsageError(f"{option}={text}: expected a seed from 0 to {2**32 - 1:,}")
    return seed, number


def find_end(
    end: tuple[int, int] | Path, checkpoint: Path, model: Decodes, category: Sequence[int] | None
) -> End:
    """The latent of an end.

    Raises:
        UserError: if the model cannot draw or encode it.
        InputError: if the image cannot be read.
    """
    kind = type(model).__name__
    if isinstance(end, tuple):
        name = f"seed {end[0]}" if end[1] == 0 else f"seed {end[0]}:{end[1]}"
        if not isinstance(model, Generates):
            raise UserError(f"{name}: {with_article(kind)} does not generate; give files a= and b=")
        return End(name, draw(model, end[0], [end[1]], category))
    if not isinstance(model, Encodes):
        raise UserError(
            f"{end}: {with_article(kind)} has no encoder of latents; give seeds, such as a=0 b=1"
        )
    x, why = input_files(checkpoint, model, [end]).read(0)
    if x is None:
        raise InputError(f"{end} cannot be read: {why}")
    return End(end.name, Latents(model.encode(x), condition_of(end, x, model, category)), x)


def condition_of(
    file: Path, x: Tensor, model: Decodes, category: Sequence[int] | None
) -> Tensor | None:
    """The condition of an image file, (1, sum(classes)); None of a model without classes.

    It is that of the category that is named, or of the one in which the model sees the image.

    Raises:
        UsageError: if neither is known.
    """
    if model.categories is None:
        return None
    if category is not None:
        return model.categories.condition(category, 1)
    if isinstance(model, Clusters):
        return model.categories.condition(model.cluster(x), 1)
    if isinstance(model, Classifies) and model.classes == model.categories.classes:
        return model.categories.condition(model.classify(x), 1)
    raise UsageError(
        f"{file}: {with_article(type(model).__name__)} needs the class of an image; add "
        "category=NAME or NUMBER, which both ends then have"
    )


def between(prior: Prior, ends: Sequence[End], steps: int, path: str) -> Latents:
    """The latents along a path.

    Args:
        prior: of them.
        ends: both.
        steps: how many, at least 2.
        path: ``linear``, ``slerp`` or ``circle``.
    """
    first, last = (end.latents for end in ends)
    if path == "linear":
        z = linear(first.z[0], last.z[0], steps)
    else:
        around = slerp if path == "slerp" else great_circle
        z = prior.mean + around(first.z[0] - prior.mean, last.z[0] - prior.mean, steps)
    if first.c is None or last.c is None:
        return Latents(z)
    c = linear(first.c[0], last.c[0], steps)
    if path == "circle":  # to the condition of b, and back
        share = (1 - torch.linspace(0, 2 * math.pi, steps).cos()) / 2
        c = first.c[0] + share[:, None] * (last.c[0] - first.c[0])
    return Latents(z, c)


def strip(images: Tensor, ends: Sequence[End]) -> Image.Image:
    """The images of a path in rows, with any image files before and after it."""
    shown = [*images]
    mu = torch.linspace(0, 1, len(images)).tolist()
    headings = [f"{share:.2f}".rstrip("0").rstrip(".") for share in mu]
    first, last = ends
    if first.x is not None:
        shown, headings = [first.x[0], *shown], [f"a: {first.name}", *headings]
    if last.x is not None:
        shown, headings = [*shown, last.x[0]], [*headings, f"b: {last.name}"]
    rows = [
        draw_table(torch.stack(shown[start : start + IN_A_ROW])[None], headings[start:][:IN_A_ROW])
        for start in range(0, len(shown), IN_A_ROW)
    ]
    height = sum(row.height for row in rows)
    check_pixels((rows[0].width, height))
    picture = Image.new("RGB", (rows[0].width, height), BACKGROUND)
    top = 0
    for row in rows:  # the names of files may have several lines
        picture.paste(row, (0, top))
        top += row.height
    return picture
