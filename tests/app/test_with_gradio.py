"""The page with gradio itself, where it is installed, as a program that visits it sees it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lightning_gans.app import descent
from lightning_gans.app.explored import Explored, Models
from lightning_gans.app.latents import SLIDERS
from lightning_gans.app.page import HOST, serve
from lightning_gans.models import AEDLSGAN, CAGAN
from tests.support.gradio_stub import free_port, typed
from tests.support.pictures import draw
from tests.support.rounds import SHAPE, TinyConditionalGenerator, TinyDiscriminator, TinyGenerator
from tests.support.saved_models import spread

gradio: Any = pytest.importorskip("gradio", reason="the page needs the extra app")
gradio_client: Any = pytest.importorskip("gradio_client", reason="the page needs the extra app")

DIM, LABELS = 8, 12
Pixels = np.ndarray[Any, Any]


def editing() -> Explored:
    model = AEDLSGAN(
        SHAPE, (2, 2), latent_dim=DIM, generator=TinyGenerator, discriminator=TinyDiscriminator
    )
    spread(model).eval()
    model.class_names = (("not hat", "hat"), ("not smile", "smile"))
    return Explored(model)


def conditional() -> Explored:
    model = CAGAN(
        SHAPE,
        (3,),
        latent_dim=DIM,
        generator=TinyConditionalGenerator,
        discriminator=TinyDiscriminator,
    )
    spread(model).eval()
    return Explored(model)


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """A function that opens the page, of two models."""
    monkeypatch.setattr(descent, "INTERVAL", 0.01)
    launch = partialmethod(gradio.Blocks.launch, prevent_thread_lock=True)
    monkeypatch.setattr(gradio.Blocks, "launch", launch)
    port = free_port()
    serve(Models({"edits": editing, "classes": conditional}), port)
    return lambda: gradio_client.Client(f"http://{HOST}:{port}", verbose=False)


def pixels(shown: Any) -> Pixels:
    path = shown["value"]["path"] if isinstance(shown, dict) else shown
    return np.array(Image.open(path).convert("RGB")).astype(int)


def settings(
    values: list[float], category: int | None = None, attribute: int | None = None
) -> tuple[Any, ...]:
    found = typed(values, [])[1:]
    return (attribute, *found, category, *[None] * (LABELS - 1))


def test_two_visitors_use_all_parts_of_the_page(visitor: Callable[[], Any], tmp_path: Path) -> None:
    first, second = visitor(), visitor()

    def choose(who: Any, name: str) -> tuple[list[float], Pixels]:
        shown = who.predict(name, api_name="/choose")
        return [s["value"] for s in shown[:SLIDERS]], pixels(shown[SLIDERS + 1])

    a, picture = choose(first, "edits")
    b, _ = choose(second, "classes")
    assert a != b
    show = pixels(first.predict(*settings(a, attribute=1), api_name="/show"))
    assert abs(show - picture).max() <= 1
    moved = pixels(first.predict(*settings([a[0] + 2, *a[1:]], attribute=1), api_name="/show"))
    assert abs(moved - picture).max() > 1
    # an attribute, and back
    stronger = first.predict(3.0, True, *settings(a, attribute=1), api_name="/strengthen")
    assert abs(pixels(stronger[-1]) - picture).max() > 1
    at = first.predict(
        *settings([s["value"] for s in stronger[:SLIDERS]], attribute=1), api_name="/find"
    )
    assert at["value"] == pytest.approx(3, abs=0.05)
    back = first.predict(*settings(a, attribute=1), api_name="/reset")
    np.testing.assert_array_equal(pixels(back[-1]), picture)
    # the other visitor's category, and a descent in it
    images = [pixels(second.predict(*settings(b, c), api_name="/show")) for c in range(3)]
    assert abs(images[0] - images[2]).max() > 1
    photo = gradio_client.handle_file(str(draw(tmp_path, 1, 4) / "00.png"))
    seen = second.predict(photo, *settings(b, 2), api_name="/upload")
    assert "no encoder" in seen[-1]
    job = second.submit(photo, 200, "prior", False, *settings(b, 2), api_name="/descend")
    told = [found[-1] for found in job]
    assert told[-1].startswith("After 200 steps: ")
    assert len(told) > 1
    assert told[0].startswith("Step ")
    kept = pixels(second.predict(*settings(b, 2), api_name="/keep"))
    start = pixels(second.predict(0.0, *settings(b, 2), api_name="/between"))
    np.testing.assert_array_equal(kept, start)
