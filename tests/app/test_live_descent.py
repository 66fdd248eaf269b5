"""A descent that a visitor of the page looks on at, and stops."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.app import descent
from lightning_gans.app.explored import Explored
from lightning_gans.app.images import Preparation, enlarged, picture, prepare, psnr
from lightning_gans.app.latents import leading
from lightning_gans.errors import UserError
from lightning_gans.inversion import DescentStep, Recovery, goodness_of_fit, recover
from lightning_gans.models import CAGAN, GAN
from lightning_gans.priors import HalfUniformHalfNormal, Normal, Prior
from tests.support.gradio_stub import (
    SKIPPED,
    PageError,
    Widget,
    image_of,
    open_page,
    positions_of,
    put_in_place,
    typed,
)
from tests.support.models import tiny_dlsgan
from tests.support.rounds import SHAPE, TinyConditionalGenerator, TinyDiscriminator, TinyGenerator
from tests.support.saved_models import spread

DIM = 16


@pytest.fixture(autouse=True)
def gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)
    monkeypatch.setattr(descent, "INTERVAL", 0.01)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (4, 4), dtype=np.uint8)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def plain_gan() -> GAN:
    model = GAN(SHAPE, latent_dim=DIM, generator=TinyGenerator, discriminator=TinyDiscriminator)
    assert isinstance(spread(model), GAN)
    return model


def descend(shown: list[Any], photo: str | None, steps: int = 50, *category: int) -> list[Any]:
    settings = typed(positions_of(shown), category)
    found = Widget.events["descend"](shown[0], photo, steps, "prior", False, *settings)
    return list(found)


def test_a_descent_shows_how_it_comes_closer_and_what_it_has_found(
    photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = plain_gan(), []
    shown = open_page(model)
    real = recover

    def slowly(*args: Any, on_step: Any, **options: Any) -> Recovery:
        def one(step: DescentStep) -> bool:
            seen.append(step)
            time.sleep(0.002)
            stops: bool = on_step(step)
            return stops

        return real(*args, on_step=one, **options)

    monkeypatch.setattr(descent, "recover", slowly)
    *before, last = descend(shown, photo)
    assert len(seen) == 51
    assert len(before) > 3
    x = prepare(photo, SHAPE, Preparation())
    decibels = []
    for *others, image, text in before:
        assert others == [SKIPPED] * 8, "the model's image stays what it was"
        made = int(text.split()[1])
        y = model.decode(seen[made].codes)
        np.testing.assert_array_equal(image, enlarged(picture(y)))
        decibels.append(psnr(x, y))
        loss = float(seen[made].losses[0])
        expected = f"Step {made} of 50: loss {loss:.4f}, PSNR {decibels[-1]:.1f} dB."
        assert text == expected
    new, text = last[0], last[-1]
    assert new.latent == new.origin == seen[-1].codes[0].tolist()
    np.testing.assert_array_equal(last[-2], enlarged(picture(model.decode(seen[-1].codes))))
    assert positions_of(last) == pytest.approx([new.latent[i] for i in leading(model)], abs=1e-3)
    assert abs(image_of(last).astype(int) - last[-2].astype(int)).max() <= 1
    assert text.startswith(f"After 50 steps: loss {float(seen[-1].losses[0]):.4f}")
    assert psnr(x, model.decode(seen[-1].codes)) > decibels[0]
    assert descent.verdict(seen[-1].codes, model.prior) in text
    assert Widget.events["descend"].__self__.stops == {}  # type: ignore[attr-defined]  # a method


# seconds after which a descent that nobody has stopped ends all the same, and its test fails
TOO_LONG = 8


def endless(stopped: threading.Event) -> Any:
    """A descent that only ends if it is told to."""
    until = time.monotonic() + TOO_LONG

    def run(*args: Any, on_step: Any, **options: Any) -> Recovery:
        def one(step: DescentStep) -> bool:
            return on_step(step) or time.monotonic() > until

        try:
            return recover(*args, on_step=one, **{**options, "steps": 10**7})
        finally:
            if time.monotonic() < until:
                stopped.set()

    return run


def test_a_descent_that_is_stopped_gives_the_best_latent_up_to_there(
    photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(descent, "recover", endless(ended))
    shown = open_page(plain_gan())
    found = Widget.events["descend"](shown[0], photo, 50, "prior", False, *typed([]))
    next(found)
    Widget.events["stop"](shown[0]._replace(visitor="another"))
    assert next(found)[0] is SKIPPED, "another page stops its own descent alone"
    Widget.events["stop"](shown[0])
    *_, last = found
    assert ended.wait(TOO_LONG)
    assert last[0].latent != shown[0].latent
    assert last[-1].startswith("After ")


@pytest.mark.parametrize("event", ["new", "upload"])
def test_a_descent_does_not_replace_an_image_that_was_shown_after_it_began(
    event: str, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(descent, "recover", endless(ended))
    shown = open_page(tiny_dlsgan())
    found = Widget.events["descend"](shown[0], photo, 50, "prior", False, *typed([]))
    next(found)
    first = [photo] if event == "upload" else []
    Widget.events[event](*first, shown[0], *typed([]))
    *_, last = found
    assert ended.wait(TOO_LONG)
    assert last == [SKIPPED] * 8 + [None, ""]


def test_a_descent_ends_where_a_browser_goes_away_and_after_its_time(
    photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(descent, "recover", endless(ended))
    shown = open_page(plain_gan())
    begin = Widget.events["descend"]
    found = begin(shown[0], photo, 50, "prior", False, *typed([]))
    next(found)
    found.close()
    assert ended.wait(TOO_LONG)
    run = partial(
        descent.descent, Explored(plain_gan()), prepare(photo, SHAPE, Preparation()), None
    )
    bounded = partial(run, 50, "prior", False)
    began = time.monotonic()
    *_, last = descent.followed(bounded, threading.Event(), seconds=0.3)
    assert isinstance(last, Recovery)
    assert time.monotonic() - began < TOO_LONG / 2


def test_a_descent_is_in_the_category_that_is_chosen(photo: str) -> None:
    model = CAGAN(
        SHAPE,
        (3,),
        latent_dim=DIM,
        generator=TinyConditionalGenerator,
        discriminator=TinyDiscriminator,
    )
    spread(model)
    shown = open_page(model)
    found = {label: descend(shown, photo, 50, label)[-1] for label in (0, 2)}
    for label, last in found.items():
        z = torch.tensor([last[0].latent])
        y = model.decode(z, torch.nn.functional.one_hot(torch.tensor([label]), 3).float())
        np.testing.assert_array_equal(last[-2], enlarged(picture(y)))
    assert found[0][0].latent != found[2][0].latent


def test_a_descent_from_the_encoder_begins_at_its_latent(photo: str) -> None:
    model, seen = tiny_dlsgan(), []
    x = prepare(photo, SHAPE, Preparation())

    def first(step: DescentStep) -> bool:
        seen.append(step.codes)
        return True

    far = model.encode(x)
    descent.descent(Explored(model), x, None, 50, "encoder", False, first)
    drawn = descent.descent(Explored(model), x, None, 50, "prior", False, first)
    codes = torch.cat([far, *seen])
    loss = (model.decode(codes) - x).abs().flatten(1).mean(1)
    assert loss[1] <= loss[0] + 1e-6, "the best of the encoder's latent and draws"
    assert not torch.equal(drawn.codes, far)


def test_without_an_image_or_for_a_damaged_one_a_descent_is_one_line(tmp_path: Path) -> None:
    shown = open_page(plain_gan())
    with pytest.raises(PageError, match="there is no image"):
        descend(shown, None)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(PageError, match="cannot be read"):
        descend(shown, str(tmp_path / "b.png"))


def test_a_descent_that_diverges_is_one_line_in_the_page(
    photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*args: object, **options: object) -> Recovery:
        raise UserError("all restarts of image 0 reached a non-finite loss")

    monkeypatch.setattr(descent, "recover", diverging)
    with pytest.raises(PageError, match="non-finite"):
        descend(open_page(plain_gan()), photo)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Normal(64).icdf((torch.arange(64) + 0.5) / 64), "is closer to the prior than draws are"),
        (torch.zeros(64), "does not look like a draw of the prior"),
        (torch.randn(64, generator=torch.Generator().manual_seed(1)), "could be a draw of the"),
    ],
)
def test_the_verdict_is_that_of_the_goodness_of_fit(code: torch.Tensor, words: str) -> None:
    text = descent.verdict(code[None], Normal(64))
    assert words in text
    assert f"p = {goodness_of_fit(code[None], Normal(64)).pvalue:.2g}" in text


def test_the_verdict_of_a_prior_with_unlike_elements_counts_those_rejected() -> None:
    prior: Prior = HalfUniformHalfNormal(16)
    code = prior.sample(1, torch.Generator().manual_seed(0))
    far = code.clone()
    far[0, -1] = 40
    assert prior.identical or "of 16 are rejected" in descent.verdict(far, prior)
    assert "needs 8 elements" in descent.verdict(torch.zeros(1, 7), Normal(7))


def quantiles(**moved: float) -> torch.Tensor:
    """A code (1, 64) of evenly spread elements; element "e3" of them is moved to its value."""
    code = Normal(64).icdf((torch.arange(64) + 0.5) / 64)
    for name, value in moved.items():
        code[int(name[1:])] = value
    return code[None]


def test_a_latent_with_one_element_far_out_is_not_said_to_be_a_draw() -> None:
    code = quantiles(e30=6.0)
    fit = goodness_of_fit(code, Normal(64))
    assert fit.verdict != "rejected"
    text = descent.verdict(code, Normal(64))
    assert text == (
        "The latent is not in every respect like a draw of the prior: it is rejected by the test "
        f"of 1 of its 64 elements on its own (p = {float(fit.per_index.adjusted.min()):.2g}). The "
        "Kolmogorov-Smirnov test of all 64 elements, which hardly sees a few that are far out, "
        f"does not reject it (p = {fit.pvalue:.2g})."
    )


def test_each_test_that_rejects_a_latent_is_named_with_its_p_value() -> None:
    code = quantiles(e20=12.0, e40=-12.0, e50=12.0)
    fit = goodness_of_fit(code, Normal(64))
    text = descent.verdict(code, Normal(64))
    smallest = float(fit.per_index.adjusted.min())
    assert (
        f"rejected by the Anderson-Darling test (p = {fit.anderson_darling.pvalue:.2g}) and the "
        f"tests of 3 of its 64 elements on their own (the smallest p = {smallest:.2g}). "
    ) in text
    shifted = quantiles() + 0.34
    fit, text = goodness_of_fit(shifted, Normal(64)), descent.verdict(shifted, Normal(64))
    assert text.endswith(
        f"rejected by the Anderson-Darling test (p = {fit.anderson_darling.pvalue:.2g}) and the "
        f"Cramér-von Mises test (p = {fit.cramer_von_mises.pvalue:.2g}). The Kolmogorov-Smirnov "
        f"test of all 64 elements does not reject it (p = {fit.pvalue:.2g})."
    )
