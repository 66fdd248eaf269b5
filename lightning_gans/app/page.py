"""A page to play with a trained model: ``python -m lightning_gans.app.page RUN``.

Needs the extra ``app``. Draw samples, reconstruct an image of your own, and move it along the most
informative elements of its latent.
"""

from __future__ import annotations

import argparse
import sys
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from lightning_gans.errors import UserError
from lightning_gans.metrics import from_uint8, to_uint8
from lightning_gans.models import Decodes, Encodes, Generates, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.trust import take

Pixels: TypeAlias = npt.NDArray[np.uint8]

SLIDERS = 5


def picture(x: Tensor) -> Pixels:
    """The first image of a batch in [-1, 1] as an array, uint8 (height, width, 3)."""
    channels_last = to_uint8(x)[0].expand(3, -1, -1).permute(1, 2, 0)
    return channels_last.cpu().numpy()


def prepare(pixels: Pixels, image_shape: tuple[int, ...]) -> Tensor:
    """An uploaded image, uint8 (height, width, 3), as a batch of one that a model takes."""
    x = from_uint8(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    if image_shape[0] == 1:
        x = x.mean(1, keepdim=True)
    return interpolate(x, image_shape[1:], mode="bilinear", antialias=True)


def first(model: Decodes) -> Tensor:
    """The latent that the page begins with, (1, latent_dim): drawn, or zero if none can be."""
    z = model.prior.sample(1)
    return z if isinstance(model, Generates) else torch.zeros_like(z)


def moved(
    model: Decodes, z: Tensor, values: tuple[float, ...], category: tuple[int, ...] = ()
) -> Pixels:
    """The image of z with its leading elements, those with the largest scale, set to values.

    Of class-conditional models, in a category, one for each label.
    """
    leading = model.prior.scale().argsort(descending=True)[: len(values)]
    z = z.clone()
    z[:, leading] = torch.tensor(values, dtype=z.dtype)
    c = None if model.categories is None else model.categories.condition(category, 1)
    return picture(model.decode(z, c))


def main() -> None:
    """Serve the page on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run's folder, or a checkpoint")
    parser.add_argument("--trust", metavar="MODULE", help="whose classes a checkpoint may name")
    parser.add_argument("--port", type=int, default=7860)
    try:
        words, modules = take(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
    arguments = parser.parse_args(words)
    try:
        import gradio as gr  # noqa: PLC0415  (an extra)
    except ImportError:
        sys.exit("error: the page needs gradio; install it with pip install 'lightning_gans[app]'")
    try:
        model = load(arguments.run, trust=modules)
    except (UserError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    if not isinstance(model, Decodes):
        sys.exit(f"error: expected a model that makes images, this is a {type(model).__name__}")
    if len(model.image_shape) != 3:
        sys.exit(f"error: expected a model of images, this one makes points {model.image_shape}")

    count = min(SLIDERS, model.prior.dim)

    def draw() -> list[float]:
        code.append(first(model))
        return values(code[-1])

    def read(pixels: Pixels | None) -> list[float]:
        if pixels is None or not isinstance(model, Encodes):
            return values(code[-1])
        code.append(model.encode(prepare(pixels, model.image_shape)))
        return values(code[-1])

    def values(z: Tensor) -> list[float]:
        leading = model.prior.scale().argsort(descending=True)[:count]
        found: list[float] = z[0, leading].tolist()
        return found

    def show(*settings: float) -> Pixels:
        category = tuple(int(value) for value in settings[count:])
        return moved(model, code[-1], settings[:count], category)

    code = [first(model)]
    with gr.Blocks(title="lightning_gans") as page:
        with gr.Row():
            with gr.Column():
                upload = gr.Image(
                    label="an image to reconstruct", visible=isinstance(model, Reconstructs)
                )
                sample = gr.Button("draw a sample", visible=isinstance(model, Generates))
                sliders = [gr.Slider(-3, 3, label=f"element {i + 1}") for i in range(count)]
                chosen = [
                    gr.Slider(0, k - 1, step=1, label=f"category of label {i + 1}")
                    for i, k in enumerate(model.categories.classes if model.categories else ())
                ]
                settings = sliders + chosen
            result = gr.Image(label="the model's image", interactive=False)
        upload.change(read, upload, sliders).then(show, settings, result)
        sample.click(draw, None, sliders).then(show, settings, result)
        for slider in settings:
            slider.release(show, settings, result)
        page.load(draw, None, sliders).then(show, settings, result)
    page.launch(server_port=arguments.port)


if __name__ == "__main__":
    main()
