"""Images, or points, that a trained model draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gans import __version__
from lightning_gans.errors import UsageError
from lightning_gans.metrics import to_uint8
from lightning_gans.models import Generates
from lightning_gans.paths import typed_path
from lightning_gans.plots import scatter
from lightning_gans.ranges import PositiveFloat, PositiveInt, Seed, SmallCount, checked
from lightning_gans.runs.atomic import replacing
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.layout import family_of, is_complete, names_of
from lightning_gans.runs.parts import new_results
from lightning_gans.runs.stop_signals import StopSignals
from lightning_gans.runs.tensor_files import write_tensors
from lightning_gans.workflows.device import parse_device
from lightning_gans.workflows.memory import enough_memory
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.picture_table import as_picture, grid
from lightning_gans.workflows.seeds import (
    Latents,
    category_names,
    decoded,
    draw,
    load_generating,
    parse_category,
)

PICTURE, LATENTS, ARRAYS = "samples.png", "latents.safetensors", "samples.npz"


@dataclass(frozen=True)
class Samples(Outcome):
    """Generated images.

    Attributes:
        latents: what they are generated from.
    """

    latents: Latents | None = None


@checked
def generate(
    ckpt: str,
    n: PositiveInt = 16,
    seed: Seed = 0,
    truncation: PositiveFloat | None = None,
    category: str | None = None,
    format: Literal["grid", "files", "npz"] = "grid",  # noqa: A002  (what the option is called)
    columns: SmallCount | None = None,
    out: str | None = None,
    device: str = "auto",
) -> Samples:
    """Draw images from a trained model.

    lightning-gans generate ckpt=runs/dlsgan/mnist5k/TIME
    lightning-gans generate ckpt=RUN n=1000 seed=1 format=files
    lightning-gans generate ckpt=RUN category=3 truncation=1 columns=8

    Image i of a seed is the same however many are drawn. Latents are kept beside the images. Models
    of points write samples.npz, and a scatter plot instead of a grid.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        n: the number of images.
        seed: of the images; another seed draws others.
        truncation: elements of the latent that are beyond so many standard deviations are drawn
            again, for typical images of less variety; by default none is. For normal priors.
        category: of all images, for class-conditional models: a name or number, or one for each
            label, separated by commas; by default drawn as in training.
        format: ``grid`` is one picture, ``files`` a PNG file for each image, ``npz`` arrays for
            numpy: images (n, height, width, channels), latents, conditions and seed.
        columns: images in a row of the grid; by default about as many as rows.
        out: a folder for the results, instead of a new one in runs.
        device: auto, cpu or cuda.

    Returns:
        The latents, and the folder of the images.

    Raises:
        UsageError: if an argument is wrong.
        UserError: if the model does not generate, or its prior cannot be truncated.
    """
    result = ARRAYS if format == "npz" else LATENTS
    if out is not None and is_complete(typed_path(out), result):
        raise UsageError(f"out={out} already has a {result}; choose another folder")
    if columns is not None and format != "grid":
        raise UsageError(f"columns={columns} is for format=grid, not for format={format}")
    checkpoint = find(Path(ckpt))
    model = load_generating(checkpoint, ckpt)
    chosen = parse_category(model, category)
    has_points = len(model.image_shape) != 3
    if has_points and (format == "files" or columns is not None):
        given = "format=files" if columns is None else f"columns={columns}"
        raise UsageError(
            f"{given}: this model makes points, of which there are no pictures; give format=grid "
            "for a scatter plot, or format=npz"
        )
    place = {
        "model": family_of(checkpoint, type(model).__name__),
        "data": names_of(checkpoint.parent).get("data", "samples"),
    }
    notes = {
        "command": "generate",
        "version": __version__,
        "checkpoint": str(checkpoint),
        "seed": str(seed),
        "truncation": str(truncation),
    }
    with (
        StopSignals(),
        new_results(place, "generate", notes, out, new=result) as folder,
        enough_memory("choose a smaller n, or several seeds"),
    ):
        # before the model is moved: a GPU draws other numbers
        latents = draw(model, seed, range(n), chosen, truncation)
        model.to(parse_device(device))
        if has_points:
            what = write_points(folder, model, latents, seed, with_plot=format == "grid")
        elif format == "grid":
            write_picture(folder / PICTURE, grid(torch.cat([*decoded(model, latents)]), columns))
            what = f"{PICTURE} and {LATENTS}"
        elif format == "files":
            write_files(folder / "images", model, latents)
            what = f"images/ and {LATENTS}"
        else:
            images = torch.cat([to_uint8(x) for x in decoded(model, latents)])
            arrays = {"images": images.permute(0, 2, 3, 1).contiguous()}
            write_arrays(folder / ARRAYS, arrays, latents, seed)
            what = ARRAYS
        if format != "npz":
            write_tensors(folder / LATENTS, named(latents), notes)
    kind = "points" if has_points else "images"
    of = "" if chosen is None else f"category {category_names(model, chosen)} and "
    text = f"{n:,} {kind} of {of}seed {seed}: {what} in {folder}"
    return Samples(folder, text, latents=latents)


def named(latents: Latents) -> dict[str, Tensor]:
    """Latents by the names that they have in files."""
    found = {"latents": latents.z}
    if latents.c is not None:
        found["conditions"] = latents.c
    return found


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG file, as a whole or not at all.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    with replacing(path) as new:
        picture.save(new, format="PNG")


def write_files(folder: Path, model: Generates, latents: Latents) -> None:
    """Write each image to a PNG file that is called by its number."""
    n = len(latents.z)
    digits = max(4, len(str(n - 1)))
    number = 0
    for batch in decoded(model, latents):
        for x in batch:
            write_picture(folder / f"{number:0{digits}}.png", as_picture(x))
            number += 1


def write_arrays(path: Path, arrays: Mapping[str, Tensor], latents: Latents, seed: int) -> None:
    """Write arrays, latents and a seed to an .npz file, as a whole or not at all.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    values = {name: value.numpy() for name, value in {**arrays, **named(latents)}.items()}
    # an open file: to a name, numpy appends .npz
    with replacing(path) as new, new.open("wb") as file:
        np.savez(file, seed=np.asarray(seed), **values)  # type: ignore[arg-type]  # no option of it


def write_points(
    folder: Path, model: Generates, latents: Latents, seed: int, with_plot: bool
) -> str:
    """Write points, and perhaps their plot; returns what was written."""
    points = torch.cat([*decoded(model, latents)])
    write_arrays(folder / ARRAYS, {"points": points}, latents, seed)
    if not with_plot:
        return ARRAYS
    first = None
    if model.categories is not None and latents.c is not None:
        first = latents.c[:, : model.categories.classes[0]].argmax(1)
    plot = scatter(None, points, first)
    write_picture(folder / PICTURE, Image.fromarray(plot.permute(1, 2, 0).numpy()))
    return f"{ARRAYS} and {PICTURE}"
