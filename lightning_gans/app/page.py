"""The page: draw samples, reconstruct an image of your own, and edit elements of its latent.

Nothing of a visitor is kept here: the page of each browser holds its own latent.
"""

from __future__ import annotations

import errno
import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_gans.data.images import LARGE, SUFFIXES, Crop, declared_size, why_unreadable
from lightning_gans.errors import InputError, UserError
from lightning_gans.metrics import to_uint8
from lightning_gans.models import Decodes, Generates, Model, Reconstructs
from lightning_gans.ood.folder_images import PreparedImages
from lightning_gans.text import printable

Pixels: TypeAlias = npt.NDArray[np.uint8]
Latent: TypeAlias = list[float]
"""The latent of one browser's page, as plain numbers."""

# how many elements of the latent have a slider
SLIDERS = 5
# the share of draws that have an element beyond the ends of its slider
BEYOND = 1e-6
# an upload with more pixels than this is not decoded
MOST_PIXELS = LARGE
HOST = "127.0.0.1"
# seconds until what the page of a browser held is forgotten
FORGOTTEN = 3600
# how many browsers' pages are held
BROWSERS = 100


class Preparation(NamedTuple):
    """How the images that a model was trained on were prepared.

    Attributes:
        crop: the part of an image that was kept.
        padding: black pixels that were added on each side.
    """

    crop: Crop = "center"
    padding: int = 0


class Position(NamedTuple):
    """A slider: where it stands, and its ends."""

    value: float
    low: float
    high: float


def picture(x: Tensor) -> Pixels:
    """The first image of a batch in [-1, 1] as an array, uint8 (height, width, 3)."""
    channels_last = to_uint8(x)[0].expand(3, -1, -1).permute(1, 2, 0)
    return channels_last.cpu().numpy()


def prepare(path: str, image_shape: tuple[int, ...], preparation: Preparation) -> Tensor:
    """An image file as a batch of one, as the images that the model was trained on.

    Args:
        path: of the file.
        image_shape: of the model, (channels, side, side).
        preparation: of its data.

    Raises:
        InputError: if the file cannot be decoded, or has more than ``MOST_PIXELS`` pixels.
    """
    try:
        width, height = declared_size(path)
    # decoders raise almost anything for damaged files
    except Exception as error:
        raise InputError(f"this image cannot be read: {why_unreadable(path, error)}") from error
    if width * height > MOST_PIXELS:
        raise InputError(
            f"this image has {width:,} x {height:,} pixels; give one of at most "
            f"{MOST_PIXELS / 1e6:g} megapixels"
        )
    channels: Literal[1, 3] = 1 if image_shape[0] == 1 else 3
    images = PreparedImages([path], image_shape[1], channels, *preparation)
    try:
        return images[0][0][None]
    except InputError as error:
        why = getattr(error, "why", None) or str(error)
        raise InputError(f"this image cannot be read: {why}") from error


def draw(model: Decodes) -> Latent:
    """A latent to show first: drawn, or zero if none can be."""
    z = model.prior.sample(1)
    found: Latent = (z if isinstance(model, Generates) else torch.zeros_like(z))[0].tolist()
    return found


def encode(model: Reconstructs, x: Tensor) -> Latent:
    """The latent of an image, (1, *image_shape)."""
    found: Latent = model.encode(x.to(model.prior.device))[0].tolist()
    return found


def leading(model: Decodes, count: int = SLIDERS) -> list[int]:
    """The elements of the latent with the largest scale, the largest first."""
    found: list[int] = model.prior.scale().argsort(descending=True, stable=True)[:count].tolist()
    return found


def positions(model: Decodes, latent: Latent) -> list[Position]:
    """The sliders of the leading elements.

    They reach as far as draws of the prior do, and farther if an element of this latent does: an
    encoder may put an image where no draw is.
    """
    lows, highs = reach(model)
    return [
        Position(latent[i], min(lows[i], latent[i]), max(highs[i], latent[i]))
        for i in leading(model)
    ]


def reach(model: Decodes) -> tuple[Latent, Latent]:
    """The ends of each element: all but a share ``BEYOND`` of draws are between all of them."""
    prior = model.prior
    tail = BEYOND / (2 * min(SLIDERS, prior.dim))
    like = prior.sample(1).double()
    with torch.no_grad():
        ends = [prior.icdf(torch.full_like(like, u)) for u in (tail, 1 - tail)]
    # no slider reaches to the ends of a Cauchy distribution
    low, high = (end.clamp(-1000, 1000).expand_as(like)[0].tolist() for end in ends)
    return low, high


def edited(
    model: Decodes, latent: Latent, values: tuple[float, ...], category: tuple[int, ...] = ()
) -> Pixels:
    """The image of a latent with its leading elements set to values.

    Args:
        model: which decodes.
        latent: not changed.
        values: of the elements, the one with the largest scale first.
        category: of a class-conditional model, one for each label.

    Raises:
        InputError: if a value is not finite, or a category out of range.
    """
    z = torch.tensor([latent], device=model.prior.device)
    z[:, leading(model, len(values))] = torch.tensor(values, dtype=z.dtype, device=z.device)
    c = None if model.categories is None else model.categories.condition(category, 1)
    return picture(model.decode(z, c))


def check_port(port: int) -> None:
    """Refuse a port that cannot be listened on, before the model is loaded.

    Raises:
        UserError: if another program listens there, or the system does not allow it.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"expected port from 1 to 65535, got {port}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            why = "in use by another program" if busy else f"not allowed ({error.strerror})"
            raise UserError(f"port={port} is {why}; choose another, such as {port + 1}") from error


def serve(model: Model, port: int = 7860, preparation: Preparation | None = None) -> None:
    """Serve the page to this machine alone, until interrupted.

    Args:
        model: a trained one.
        port: of the page's address.
        preparation: of the images that it was trained on; by default the largest centred square.

    Raises:
        UserError: if gradio is missing, the model generates no images, or the port is in use.
    """
    try:
        gradio: Any = importlib.import_module("gradio")
    except ImportError as error:
        raise UserError(
            "the page needs gradio; install it with pip install 'lightning_gans[app]'"
        ) from error
    if not isinstance(model, Decodes):
        raise UserError(f"expected a model that generates images, got a {type(model).__name__}")
    if len(model.image_shape) != 3:
        raise UserError(f"expected a model of images, got one of points {model.image_shape}")
    check_port(port)
    make_page(gradio, model, preparation or Preparation()).launch(
        server_name=HOST,
        server_port=port,
        share=False,  # whatever the environment says
        show_error=True,
        state_session_capacity=BROWSERS,
        max_file_size="50mb",
    )


def make_page(gradio: Any, model: Decodes, preparation: Preparation) -> Any:
    """Lay out the page.

    Args:
        gradio: the package, which is an optional dependency.
        model: of images.
        preparation: of the images that it was trained on.
    """
    count = min(SLIDERS, model.prior.dim)
    _, height, width = model.image_shape
    reconstructs = isinstance(model, Reconstructs) and height == width
    drawn = positions(model, draw(model))

    @contextmanager
    def errors_in_the_page() -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    def shown(latent: Latent, settings: tuple[float, ...]) -> list[Any]:
        """The new latent of the page, its sliders and its image."""
        found = positions(model, latent)
        sliders = [
            gradio.Slider(value=p.value, minimum=p.low, maximum=p.high, step=step(p)) for p in found
        ]
        category = tuple(int(value) for value in settings[count:])
        image = edited(model, latent, tuple(p.value for p in found), category)
        return [latent, *sliders, image]

    def new(*settings: float) -> list[Any]:
        with errors_in_the_page():
            return shown(draw(model), settings)

    def upload(path: str | None, latent: Latent | None, *settings: float) -> list[Any]:
        with errors_in_the_page():
            if path is None or not isinstance(model, Reconstructs):
                return [*shown(latent or draw(model), settings), None]
            x = prepare(path, model.image_shape, preparation)
            return [*shown(encode(model, x), settings), picture(x)]

    def show(latent: Latent | None, *settings: float) -> Pixels:
        with errors_in_the_page():
            category = tuple(int(value) for value in settings[count:])
            return edited(model, latent or draw(model), settings[:count], category)

    # nothing is sent anywhere, and uploaded files are deleted
    with gradio.Blocks(
        title="lightning_gans", analytics_enabled=False, delete_cache=(FORGOTTEN, FORGOTTEN)
    ) as page:
        latent = gradio.State(None, time_to_live=FORGOTTEN)
        with gradio.Row():
            with gradio.Column():
                # a file: gradio would decode an image itself, without bounds
                image = gradio.File(
                    label="an image to reconstruct",
                    type="filepath",
                    file_types=list(SUFFIXES),
                    visible=reconstructs,
                )
                seen = gradio.Image(
                    label="as the model sees it",
                    format="png",
                    interactive=False,
                    visible=reconstructs,
                )
                sample = gradio.Button("draw a sample", visible=isinstance(model, Generates))
                sliders = [
                    gradio.Slider(p.low, p.high, p.value, step=step(p), label=f"element {i + 1}")
                    for i, p in enumerate(drawn)
                ]
                categories = [
                    gradio.Dropdown(choices=choices, value=0, label=f"category of label {i + 1}")
                    for i, choices in enumerate(category_choices(model))
                ]
                settings = sliders + categories
            result = gradio.Image(label="the model's image", format="png", interactive=False)
        everything = [latent, *sliders, result]
        image.upload(upload, [image, latent, *settings], [*everything, seen])
        sample.click(new, settings, everything)
        for slider in sliders:
            slider.release(show, [latent, *settings], result)
        for dropdown in categories:
            dropdown.input(show, [latent, *settings], result)
        page.load(new, settings, everything)
    return page


def category_choices(model: Decodes) -> list[list[tuple[str, int]]]:
    """For each label of a class-conditional model, its classes by name, or by number."""
    if model.categories is None:
        return []
    classes, names = model.categories.classes, model.class_names or ()
    if tuple(map(len, names)) != classes:
        names = tuple(tuple(map(str, range(k))) for k in classes)
    return [[(printable(name), i) for i, name in enumerate(label)] for label in names]


def step(position: Position) -> float:
    """The step of a slider: a thousandth of its length."""
    return max((position.high - position.low) / 1000, 1e-6)
