"""The page: draw samples, reconstruct an image of your own, and edit elements of its latent.

Nothing of a visitor is kept here: the page of each browser holds its own latent.
"""

from __future__ import annotations

import errno
import importlib
import inspect
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_gans.callbacks.pictures import grid
from lightning_gans.data.images import LARGE, SUFFIXES, Crop, declared_size, why_unreadable
from lightning_gans.errors import InputError, UserError
from lightning_gans.inversion import linear
from lightning_gans.metrics import PSNR, to_uint8
from lightning_gans.models import Decodes, Generates, Model, Reconstructs
from lightning_gans.ood.folder_images import PreparedImages
from lightning_gans.text import printable

Pixels: TypeAlias = npt.NDArray[np.uint8]
Latent: TypeAlias = list[float]
"""The latent of one browser's page, as plain numbers."""

Draws: TypeAlias = Callable[[int, float | None, tuple[int, ...]], Tensor]
"""The samples of a seed, with the bound of their truncation and their category."""

# how many elements of the latent have a slider
SLIDERS = 5
# the share of draws that have an element beyond the ends of its slider
BEYOND = 1e-6
# an upload with more pixels than this is not decoded
MOST_PIXELS = LARGE
# images are enlarged by a whole factor to about this side, in pixels
SIDE = 320
# samples in a row of the grid, and the bound of the truncation that means none
COLUMNS, WHOLE = 6, 4.0
# while a slider moves, by pointer or by keys, the image of its last position is drawn
LIVE: Mapping[str, Any] = {"trigger_mode": "always_last", "show_progress": "hidden"}
# images on the path between two, without its first
STEPS = 100
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


class Verdict(NamedTuple):
    """How usual an image is among held-out ones.

    Attributes:
        pvalue: the share of held-out images that are at least as anomalous, with this one.
        score: by which that is judged.
        held_out: how many held-out images there are.
    """

    pvalue: float
    score: str
    held_out: int


Judge: TypeAlias = Callable[[Tensor], Verdict]


class Position(NamedTuple):
    """A slider: where it stands, and its ends."""

    value: float
    low: float
    high: float


def picture(x: Tensor) -> Pixels:
    """The first image of a batch in [-1, 1] as an array, uint8 (height, width, 3)."""
    channels_last = to_uint8(x)[0].expand(3, -1, -1).permute(1, 2, 0)
    return channels_last.cpu().numpy()


def enlarged(pixels: Pixels) -> Pixels:
    """An image as it is shown: by a whole factor larger, so that its pixels stay what they are."""
    factor = max(1, SIDE // max(pixels.shape[:2]))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def ends(position: Position) -> tuple[float, float]:
    """The ends of a slider as they are shown, with two digits.

    >>> ends(Position(0.0, -5.1993, 5.1993))
    (-5.2, 5.2)
    """
    return math.floor(100 * position.low) / 100, math.ceil(100 * position.high) / 100


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


def quality(x: Tensor, made: Tensor, judge: Judge | None) -> str:
    """How close a reconstruction is to its image, and how usual the image is, in words.

    Args:
        x: the image, (1, *image_shape).
        made: its reconstruction.
        judge: says how usual the image is; None if nothing is known of held-out images.
    """
    psnr = PSNR()
    psnr.update(x, made.cpu())
    text = f"PSNR of the reconstruction: {float(psnr.compute()):.1f} dB (higher is closer). "
    if judge is None:
        return text + "No OOD p-value: there are no scores of held-out images."
    found = judge(x)
    return text + (
        f"OOD p-value: {found.pvalue:.2g}, the share of {found.held_out:,} held-out images with a "
        f"{found.score} score at least as high. Below 0.05 the image is unlike them."
    )


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
    return picture(decoded(model, latent, values, category))


def decoded(
    model: Decodes, latent: Latent, values: tuple[float, ...], category: tuple[int, ...]
) -> Tensor:
    """As :func:`edited`, the image itself, (1, *image_shape)."""
    z = torch.tensor([latent], device=model.prior.device)
    z[:, leading(model, len(values))] = torch.tensor(values, dtype=z.dtype, device=z.device)
    c = None if model.categories is None else model.categories.condition(category, 1)
    return model.decode(z, c)


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


def serve(
    model: Model,
    port: int = 7860,
    preparation: Preparation | None = None,
    draws: Draws | None = None,
    judge: Judge | None = None,
) -> None:
    """Serve the page to this machine alone, until interrupted.

    Args:
        model: a trained one.
        port: of the page's address.
        preparation: of the images that it was trained on; by default the largest centred square.
        draws: the samples of a seed; without, the page has no grid of them.
        judge: says how usual an image is.

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
    print(f"the page is at http://{HOST}:{port}; Ctrl-C ends it", flush=True)
    make_page(gradio, model, preparation or Preparation(), draws, judge).launch(
        server_name=HOST,
        server_port=port,
        share=False,  # whatever the environment says
        quiet=True,  # its line on public links is not for this page
        show_error=True,
        state_session_capacity=BROWSERS,
        max_file_size="50mb",
    )


class Answers:
    """What the page answers to a visitor; it keeps nothing of them.

    Args:
        gradio: the package, which is an optional dependency.
        model: of images.
        preparation: of the images that it was trained on.
        draws: the samples of a seed; None if there are none.
        judge: says how usual an image is; None if nothing is known of held-out images.
    """

    def __init__(
        self,
        gradio: Any,
        model: Decodes,
        preparation: Preparation,
        draws: Draws | None,
        judge: Judge | None,
    ) -> None:
        self.gradio, self.model, self.preparation = gradio, model, preparation
        self.draws, self.judge = draws, judge
        self.count = min(SLIDERS, model.prior.dim)

    @contextmanager
    def errors_in_the_page(self) -> Iterator[None]:
        """Show an error that a visitor can fix in the page."""
        try:
            yield
        except UserError as error:
            raise self.gradio.Error(str(error), print_exception=False) from error

    def category(self, settings: tuple[float, ...]) -> tuple[int, ...]:
        """The class of each label, which follow the sliders."""
        return tuple(int(value) for value in settings[self.count :])

    def shown(self, latent: Latent, settings: tuple[float, ...]) -> list[Any]:
        """The new latent of the page, its sliders and its image."""
        found = positions(self.model, latent)
        sliders = [
            self.gradio.Slider(value=p.value, minimum=ends(p)[0], maximum=ends(p)[1], step=step(p))
            for p in found
        ]
        values = tuple(p.value for p in found)
        image = edited(self.model, latent, values, self.category(settings))
        return [latent, *sliders, enlarged(image)]

    def new(self, *settings: float) -> list[Any]:
        """Another sample."""
        with self.errors_in_the_page():
            return [*self.shown(draw(self.model), settings), None, ""]

    def reset(self, latent: Latent | None, *settings: float) -> list[Any]:
        """The latent as it was before its elements were moved."""
        with self.errors_in_the_page():
            return self.shown(latent or draw(self.model), settings)

    def upload(self, path: str | None, latent: Latent | None, *settings: float) -> list[Any]:
        """The reconstruction of an image, how close it is, and how usual the image is."""
        model = self.model
        with self.errors_in_the_page():
            if path is None or not isinstance(model, Reconstructs):
                return [*self.shown(latent or draw(model), settings), None, ""]
            x = prepare(path, model.image_shape, self.preparation)
            code = encode(model, x)
            made = decoded(model, code, (), self.category(settings))
            text = quality(x, made, self.judge)
            return [*self.shown(code, settings), enlarged(picture(x)), text]

    def show(self, latent: Latent | None, *settings: float) -> Pixels:
        """The image of the latent with its elements moved."""
        with self.errors_in_the_page():
            values, category = settings[: self.count], self.category(settings)
            return enlarged(edited(self.model, latent or draw(self.model), values, category))

    def keep(self, latent: Latent | None, *settings: float) -> tuple[Latent, Pixels]:
        """The latent with its elements moved, as the start of a path, and its image."""
        with self.errors_in_the_page():
            kept = self.moved(latent or draw(self.model), settings)
            return kept, enlarged(edited(self.model, kept, (), self.category(settings)))

    def between(
        self, start: Latent | None, latent: Latent | None, share: float, *settings: float
    ) -> Pixels:
        """An image on the straight path from the kept latent to the one with its elements moved."""
        with self.errors_in_the_page():
            if start is None or latent is None:
                raise InputError("a path has no start yet; keep an image as its start")
            end = self.moved(latent, settings)
            path = linear(torch.tensor(start), torch.tensor(end), STEPS + 1)
            z: Latent = path[round(share * STEPS)].tolist()
            return enlarged(edited(self.model, z, (), self.category(settings)))

    def moved(self, latent: Latent, settings: tuple[float, ...]) -> Latent:
        """A latent with its leading elements set to the values of the sliders."""
        found = list(latent)
        for i, value in zip(leading(self.model, self.count), settings, strict=False):
            found[i] = float(value)
        return found

    def sheet(self, seed: float | None, truncation: float, *settings: float) -> Pixels:
        """The samples of a seed."""
        with self.errors_in_the_page():
            assert self.draws is not None
            bound = None if truncation >= WHOLE else truncation
            x = self.draws(int(seed or 0), bound, self.category(settings))
            return grid(x, COLUMNS).permute(1, 2, 0).numpy()


def make_page(
    gradio: Any,
    model: Decodes,
    preparation: Preparation,
    draws: Draws | None = None,
    judge: Judge | None = None,
) -> Any:
    """Lay out the page; arguments as those of :class:`Answers`."""
    answers = Answers(gradio, model, preparation, draws, judge)
    _, height, width = model.image_shape
    reconstructs = isinstance(model, Reconstructs) and height == width
    drawn = positions(model, draw(model))
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
                seen = still(gradio, "as the model sees it", visible=reconstructs)
                sample = gradio.Button("draw a sample", visible=isinstance(model, Generates))
                # the numbers that edit elements= takes
                sliders = [
                    gradio.Slider(*ends(p), p.value, step=step(p), label=f"element {i}")
                    for i, p in zip(leading(model), drawn, strict=True)
                ]
                restore = gradio.Button("reset the elements")
                categories = [
                    gradio.Dropdown(choices=choices, value=0, label=f"category of label {i + 1}")
                    for i, choices in enumerate(category_choices(model))
                ]
            with gradio.Column():
                result = still(gradio, "the model's image")
                text = gradio.Markdown("", visible=reconstructs)
        settings = sliders + categories
        everything = [latent, *sliders, result]
        told = [*everything, seen, text]
        add_path(gradio, answers, [latent, *settings])
        if draws is not None:
            add_sheet(gradio, answers, settings)
        image.upload(answers.upload, [image, latent, *settings], told)
        sample.click(answers.new, settings, told)
        restore.click(answers.reset, [latent, *settings], everything)
        for slider in sliders:
            slider.input(answers.show, [latent, *settings], result, **LIVE)
        for dropdown in categories:
            dropdown.input(answers.show, [latent, *settings], result)
        page.load(answers.new, settings, told)
    return page


def still(gradio: Any, label: str, visible: bool = True) -> Any:
    """An image to look at and download, without gradio's button that sends it to a website."""
    is_named = "buttons" in inspect.signature(gradio.Image).parameters
    options: dict[str, object] = (
        {"buttons": ["download", "fullscreen"]} if is_named else {"show_share_button": False}
    )
    return gradio.Image(label=label, format="png", interactive=False, visible=visible, **options)


def add_path(gradio: Any, answers: Answers, page: list[Any]) -> None:
    """Lay out the path from one image to another.

    Args:
        gradio: the package.
        answers: to the visitor.
        page: the latent of the page and its settings.
    """
    start = gradio.State(None, time_to_live=FORGOTTEN)
    with gradio.Row():
        with gradio.Column():
            keep = gradio.Button("keep the model's image as the start of a path")
            share = gradio.Slider(0, 1, 0, step=1 / STEPS, label="from the start to the image now")
        path = still(gradio, "on the path")
    keep.click(answers.keep, page, [start, path])
    share.input(answers.between, [start, page[0], share, *page[1:]], path, **LIVE)


def add_sheet(gradio: Any, answers: Answers, settings: list[Any]) -> None:
    """Lay out the samples of a seed."""
    with gradio.Row():
        with gradio.Column():
            seed = gradio.Number(0, label="seed", precision=0, minimum=0)
            truncation = gradio.Slider(
                0.1,
                WHOLE,
                WHOLE,
                step=0.1,
                label=f"truncation, in standard deviations ({WHOLE:g}: none)",
            )
            many = gradio.Button("draw the samples of this seed")
        samples = still(gradio, "samples")
    many.click(answers.sheet, [seed, truncation, *settings], samples)


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
