"""What the page does with images and latents; the page itself is gradio's."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from lightning_gans.app.page import moved, picture, prepare
from lightning_gans.models import CAGAN
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


def test_sliders_move_the_elements_of_the_largest_scale() -> None:
    model = tiny_dlsgan()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.tensor([0.1, 0.9, 0.5]))
    z = torch.zeros(1, LATENT)
    expected = picture(model.decode(torch.tensor([[0.0, 2.0, -1.0]])))
    np.testing.assert_array_equal(moved(model, z, (2.0, -1.0)), expected)
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
    np.testing.assert_array_equal(moved(model, z, values, (2, 1)), picture(model.decode(z, c)))


@pytest.mark.parametrize("words", [["nowhere"]])
def test_a_missing_run_is_one_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    from lightning_gans.app.page import main

    monkeypatch.setitem(sys.modules, "gradio", types.ModuleType("gradio"))
    monkeypatch.setattr(sys, "argv", ["app", *words])
    with pytest.raises(SystemExit, match="error: no checkpoint at nowhere"):
        main()
