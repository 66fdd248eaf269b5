"""What the page does with images and latents, and which models it refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import ClassVar, Self

import numpy as np
import pytest
import torch

from lightning_gans.app.page import edited, picture, prepare, serve
from lightning_gans.cli import main
from lightning_gans.errors import UserError
from lightning_gans.models import CAGAN, GAN, Classifier
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.priors import DynamicScale
from tests.support.models import tiny_dlsgan
from tests.support.rounds import LATENT


def test_pictures_and_images_are_each_others_inverse() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    x = prepare(pixels, (3, 8, 8))
    assert x.shape == (1, 3, 8, 8)
    np.testing.assert_array_equal(picture(x), pixels)


def test_a_grey_model_gets_a_grey_image_of_its_size() -> None:
    pixels = np.full((20, 30, 3), 255, np.uint8)
    x = prepare(pixels, (1, 4, 4))
    torch.testing.assert_close(x, torch.ones(1, 1, 4, 4))


def test_sliders_edit_the_elements_of_the_largest_scale() -> None:
    model = tiny_dlsgan()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.tensor([0.1, 0.9, 0.5]))
    z = torch.zeros(1, LATENT)
    expected = picture(model.decode(torch.tensor([[0.0, 2.0, -1.0]])))
    np.testing.assert_array_equal(edited(model, z, (2.0, -1.0)), expected)
    assert z.abs().sum() == 0


def test_a_class_conditional_image_is_in_the_category_that_is_set() -> None:
    model = CAGAN(
        (1, 4, 4),
        (3, 2),
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    )
    z = torch.randn(1, LATENT)
    c = torch.tensor([[0.0, 0.0, 1.0, 0.0, 1.0]])
    values = tuple(z[0, model.prior.scale().argsort(descending=True)].tolist())
    np.testing.assert_array_equal(edited(model, z, values, (2, 1)), picture(model.decode(z, c)))


class Widget:
    """Stands in for all of gradio: accepts any call, keeps what its page was launched with."""

    launched: ClassVar[dict[str, object]] = {}

    def __init__(self, *args: object, **options: object) -> None:
        self.options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def event(self, function: Callable[..., object], *args: object) -> Self:
        return self

    change = click = release = load = then = event

    def launch(self, **options: object) -> None:
        Widget.launched = options


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("gradio")
    for name in ("Blocks", "Row", "Column", "Image", "Button", "Slider"):
        setattr(module, name, Widget)
    monkeypatch.setitem(sys.modules, "gradio", module)


@pytest.mark.usefixtures("gradio")
def test_the_page_is_served_to_this_machine_alone() -> None:
    serve(tiny_dlsgan(), 7000)
    assert Widget.launched == {"server_name": "127.0.0.1", "server_port": 7000}


@pytest.mark.usefixtures("gradio")
def test_models_without_images_have_no_page() -> None:
    with pytest.raises(UserError, match="expected a model that generates images, got a Classifier"):
        serve(Classifier((1, 16, 16), (3,)))
    with pytest.raises(UserError, match=r"expected a model of images, got one of points \(2,\)"):
        serve(GAN((2,), latent_dim=2))


def test_without_gradio_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'lightning_gans\[app\]'"):
        serve(tiny_dlsgan())


def test_a_missing_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["app", "nowhere"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: no checkpoint at nowhere")
