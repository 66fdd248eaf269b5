"""The page: draw samples, reconstruct an image of your own, and edit elements of its latent."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightning_gans.errors import UserError
from lightning_gans.metrics import from_uint8, to_uint8
from lightning_gans.models import Decodes, Generates, Model, Reconstructs

Pixels: TypeAlias = npt.NDArray[np.uint8]

# how many elements of the latent have a slider
SLIDERS = 5


def picture(x: Tensor) -> Pixels:
    """The first image of a batch in [-1, 1] as an array, uint8 (height, width, 3)."""
    channels_last = to_uint8(x)[0].expand(3, -1, -1).permute(1, 2, 0)
    return channels_last.cpu().numpy()


def prepare(pixels: Pixels, image_shape: tuple[int, ...]) -> Tensor:
    """An uploaded image, uint8 (height, width, 3), as a batch of one in a model's image shape."""
    x = from_uint8(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    if image_shape[0] == 1:
        x = x.mean(1, keepdim=True)
    return interpolate(x, image_shape[1:], mode="bilinear", antialias=True)


def first_latent(model: Decodes) -> Tensor:
    """The latent that the page starts with, (1, latent_dim): drawn, or zero if none can be."""
    z = model.prior.sample(1)
    return z if isinstance(model, Generates) else torch.zeros_like(z)


def edited(
    model: Decodes, z: Tensor, values: tuple[float, ...], category: tuple[int, ...] = ()
) -> Pixels:
    """The image of a latent with some elements, those with the largest scale, set to values.

    Args:
        model: which decodes.
        z: (1, latent_dim), not changed.
        values: of the elements, the one with the largest scale first.
        category: of a class-conditional model, one for each label.
    """
    leading = model.prior.scale().argsort(descending=True)[: len(values)]
    z = z.clone()
    z[:, leading] = torch.tensor(values, dtype=z.dtype)
    c = None if model.categories is None else model.categories.condition(category, 1)
    return picture(model.decode(z, c))


def serve(model: Model, port: int = 7860) -> None:
    """Serve the page to this machine alone, until interrupted.

    Args:
        model: a trained one.
        port: of the page's address.

    Raises:
        UserError: if gradio is missing, or the model generates no images.
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
    make_page(gradio, model).launch(server_name="127.0.0.1", server_port=port)


def make_page(gradio: Any, model: Decodes) -> Any:
    """Lay out the page.

    Args:
        gradio: the package, which is an optional dependency.
        model: of images.
    """
    count = min(SLIDERS, model.prior.dim)
    latent = first_latent(model)

    def slider_values() -> list[float]:
        leading = model.prior.scale().argsort(descending=True)[:count]
        found: list[float] = latent[0, leading].tolist()
        return found

    def draw() -> list[float]:
        nonlocal latent
        latent = first_latent(model)
        return slider_values()

    def upload(pixels: Pixels | None) -> list[float]:
        nonlocal latent
        if pixels is not None and isinstance(model, Reconstructs):
            latent = model.encode(prepare(pixels, model.image_shape))
        return slider_values()

    def show(*settings: float) -> Pixels:
        category = tuple(int(value) for value in settings[count:])
        return edited(model, latent, settings[:count], category)

    with gradio.Blocks(title="lightning_gans") as page:
        with gradio.Row():
            with gradio.Column():
                image = gradio.Image(
                    label="an image to reconstruct", visible=isinstance(model, Reconstructs)
                )
                sample = gradio.Button("draw a sample", visible=isinstance(model, Generates))
                sliders = [gradio.Slider(-3, 3, label=f"element {i + 1}") for i in range(count)]
                categories = [
                    gradio.Slider(0, k - 1, step=1, label=f"category of label {i + 1}")
                    for i, k in enumerate(model.categories.classes if model.categories else ())
                ]
                settings = sliders + categories
            result = gradio.Image(label="the model's image", interactive=False)
        image.change(upload, image, sliders).then(show, settings, result)
        sample.click(draw, None, sliders).then(show, settings, result)
        for slider in settings:
            slider.release(show, settings, result)
        page.load(draw, None, sliders).then(show, settings, result)
    return page
