"""Measures of conditional and of edited digits have the values that are known of made ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from lightning_gans.data.strokes import slant, thickness
from lightning_gans.errors import InputError
from lightning_gans.models import CAGAN, GAN
from lightning_gans.reproduce import digits, edits
from lightning_gans.reproduce.digits import conditional, generated
from lightning_gans.rng import stream
from tests.support.strokes import bar


class Shown(torch.nn.Module):
    """A generator of images whose one bright row, k, is the condition, or always a given one."""

    def __init__(self, always: int | None = None) -> None:
        super().__init__()
        self.always = always
        self.anchor = torch.nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        image = torch.full((len(z), 1, 28, 28), -3.0) + self.anchor
        k = c.argmax(1) if self.always is None else torch.full((len(z),), self.always)
        image[torch.arange(len(z)), 0, k] = 3
        return image


def first_row(image: Tensor) -> Tensor:
    """Logits of the digit k, of images at 32 x 32 with a border of two black rows."""
    assert image.shape[1:] == (1, 32, 32)
    assert image.min() == -1
    assert image.max() == 1
    return image[:, 0, 2:12, 2]


def as_run(monkeypatch: pytest.MonkeyPatch, generator: Shown) -> CAGAN:
    model = CAGAN((1, 16, 16), (10,), latent_dim=4).eval()
    model.generator, model.image_shape = generator, (1, 28, 28)
    monkeypatch.setattr(digits, "load", lambda run: model)
    monkeypatch.setattr(digits, "trained_digit_classifier", lambda: first_row)
    return model


def test_a_model_that_follows_its_conditions_is_right_and_makes_a_tenth_of_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_run(monkeypatch, Shown())
    assert conditional(Path("run"), images=7) == {"right": 1, "zeros": 0.1}


@pytest.mark.parametrize(("always", "zeros"), [(0, 1), (3, 0)])
def test_a_model_that_ignores_its_conditions_is_right_by_chance(
    always: int, zeros: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_run(monkeypatch, Shown(always))
    assert conditional(Path("run"), images=7) == {"right": 0.1, "zeros": zeros}


def test_images_of_a_digit_are_as_many_as_asked_for_and_clipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = as_run(monkeypatch, Shown())
    monkeypatch.setattr(digits, "BATCH", 4)
    with torch.no_grad():
        images = generated(model, 6, 10, stream("digits", 0))
    assert images.shape == (10, 1, 32, 32)
    assert (first_row(images).argmax(1) == 6).all()
    assert (images[..., :2] == -1).all()


def test_a_model_without_conditions_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = GAN((1, 16, 16), latent_dim=4)
    monkeypatch.setattr(digits, "load", lambda run: model)
    with pytest.raises(InputError, match="expected a class-conditional model, got GAN"):
        conditional(Path("run"))
    monkeypatch.setattr(edits, "load", lambda run: model)
    with pytest.raises(InputError, match="GAN does not edit attributes"):
        edits.strokes(Path("run"), "data")


def test_edits_of_slant_and_of_thickness_are_measured_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def edited(model: object, x: Tensor, attribute: int, strength: float) -> Tensor:
        made = bar(4, 20, int(strength)) if attribute == 0 else bar(5 + 2 * int(strength), 20)
        return (2 * made - 1).expand(len(x), -1, -1, -1)

    ink = torch.cat([bar(3, 20, -1), bar(4, 20), bar(6, 20, 1)])
    monkeypatch.setattr(edits, "_model", lambda run: SimpleNamespace())
    monkeypatch.setattr(edits, "_digits", lambda root, n: 2 * ink - 1)
    monkeypatch.setattr(edits, "edited", edited)
    found = edits.strokes(Path("run"), "data", images=3)
    assert found["slanted.slant"] == pytest.approx(2 / float(slant(ink).std()))
    change = float(thickness(bar(7, 20)) - thickness(bar(3, 20)))
    assert found["thick.thickness"] == pytest.approx(change / float(thickness(ink).std()))
    assert found["thick.slant"] == pytest.approx(0, abs=1e-9)
    assert found["slanted.right"] == found["thick.right"] == 1
    # a model whose edits go the wrong way
    monkeypatch.setattr(edits, "edited", lambda m, x, k, s: edited(m, x, k, -s))
    found = edits.strokes(Path("run"), "data", images=3)
    assert found["slanted.right"] == found["thick.right"] == 0
    assert found["slanted.slant"] < 0
