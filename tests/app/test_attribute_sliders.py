"""Attributes of the image of a page, moved by a slider."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_gans.app.answers import attribute_choices, ends_of_strength
from lightning_gans.app.images import Preparation, enlarged, picture, prepare
from lightning_gans.app.latents import SLIDERS, leading
from lightning_gans.models import AEDLSGAN, Decodes
from lightning_gans.priors import DynamicScale
from tests.support.gradio_stub import (
    PageError,
    Widget,
    image_of,
    open_page,
    positions_of,
    put_in_place,
    typed,
)
from tests.support.models import tiny_dlsgan
from tests.support.pictures import draw
from tests.support.rounds import SHAPE, TinyDiscriminator, TinyGenerator
from tests.support.saved_models import spread

DIM = 8


@pytest.fixture(autouse=True)
def gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)


def editing() -> AEDLSGAN:
    model = AEDLSGAN(
        SHAPE,
        (2, 3),
        latent_dim=DIM,
        generator=TinyGenerator,
        discriminator=TinyDiscriminator,
    )
    spread(model).eval()
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(torch.linspace(0.1, 0.9, DIM))
    return model


def test_an_upload_is_moved_along_an_attribute_as_edit_moves_it(tmp_path: Path) -> None:
    model = editing()
    shown = open_page(model)
    photo = str(draw(tmp_path, 1, 4) / "00.png")
    shown = Widget.events["upload"](photo, shown[0], *typed([]))
    session = shown[0]
    x = prepare(photo, SHAPE, Preparation())
    exact = [session.latent[i] for i in leading(model)]
    for attribute, strength, keep_others in ((0, 1.5, True), (2, -2.0, False)):
        settings = typed(exact, attribute=attribute)
        new, *sliders, image = Widget.events["strengthen"](
            session, strength, keep_others, *settings
        )
        assert len(sliders) == SLIDERS
        expected = enlarged(picture(model.edit(x, attribute, strength, keep_others)))
        assert abs(image.astype(int) - expected.astype(int)).max() <= 1
        z = torch.tensor([new.latent])
        assert float(model.attribute_strengths(z)[0, attribute]) == pytest.approx(
            strength, abs=1e-3
        )
        assert new.origin == session.latent, "to which it can be reset"
    back = Widget.events["reset"](new, *typed(positions_of(shown)))
    np.testing.assert_array_equal(image_of(back), image_of(shown))


def test_the_slider_stands_where_the_image_has_the_attribute() -> None:
    model = editing()
    shown = open_page(model)
    session, strength = shown[0], shown[SLIDERS + 1]
    z = torch.tensor([session.latent])
    found = model.attribute_strengths(z)[0].tolist()
    assert strength.options["value"] == pytest.approx(found[0], abs=0.01)
    moved = [session.latent[i] + 1 for i in leading(model)]
    z[0, leading(model)] = torch.tensor(moved)
    for attribute, value in enumerate(model.attribute_strengths(z)[0].tolist()):
        slider = Widget.events["find"](session, *typed(moved, attribute=attribute))
        assert slider.options["value"] == pytest.approx(value, abs=0.01)
        assert slider.options["minimum"] <= value <= slider.options["maximum"]


def test_a_strong_attribute_is_not_clipped_by_its_slider() -> None:
    assert ends_of_strength(17.04) == (-4.0, 17.1)
    assert ends_of_strength(-9.0) == (-9.0, 4.0)


def test_attributes_are_chosen_by_their_names() -> None:
    model = editing()
    numbers = [(f"attribute {i}", i) for i in range(4)]
    assert attribute_choices(model) == numbers
    model.class_names = (("not hat", "hat"), ("red", "green", "blue"))
    assert attribute_choices(model) == [("hat", 0), ("red", 1), ("green", 2), ("blue", 3)]
    model.class_names = (("a", "b"),)  # of something else
    assert attribute_choices(model) == numbers
    assert attribute_choices(tiny_dlsgan()) == []


def test_a_model_without_attributes_says_so_in_the_page() -> None:
    def sights(model: Decodes) -> list[object]:
        strength, _, attribute, *others = open_page(model)[SLIDERS + 1 :]
        return [w.options.get("visible") for w in (strength, attribute, *others[:2])]

    assert sights(editing()) == [True, True, True, False], "the last is the note"
    assert sights(tiny_dlsgan()) == [False, False, False, True]
    shown = open_page(tiny_dlsgan())
    with pytest.raises(PageError, match="edits no attributes"):
        Widget.events["strengthen"](shown[0], 1.0, True, *typed([]))
