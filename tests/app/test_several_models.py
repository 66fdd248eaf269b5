"""A page of several models, which are loaded when they are chosen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lightning_gans.app.answers import Answers
from lightning_gans.app.explored import Explored, Models
from lightning_gans.app.latents import SLIDERS, leading
from lightning_gans.cli import main
from lightning_gans.errors import InputError, UsageError, UserError
from lightning_gans.models import CAGAN, DLSGAN
from lightning_gans.workflows import app as workflow
from tests.support.gradio_stub import (
    PageError,
    Widget,
    free_port,
    open_page_of,
    positions_of,
    put_in_place,
    typed,
    visit,
)
from tests.support.models import tiny_dlsgan
from tests.support.rounds import SHAPE, TinyConditionalGenerator, TinyDiscriminator
from tests.support.saved_models import refusal, save


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    put_in_place(monkeypatch)


def loaders(loaded: list[str], models: dict[str, DLSGAN]) -> dict[str, Callable[[], Explored]]:
    def load(name: str) -> Explored:
        loaded.append(name)
        return Explored(models[name])

    return {name: partial(load, name) for name in models}


def test_a_model_is_loaded_once_and_only_when_it_is_used() -> None:
    loaded: list[str] = []
    models = Models(loaders(loaded, {name: tiny_dlsgan() for name in "abc"}))
    assert loaded == []
    first = models.get("b")
    assert models.get("b") is first
    assert loaded == ["b"]
    with pytest.raises(InputError, match="there is no model d; there are a, b, c"):
        models.get("d")


def test_models_that_were_not_used_for_long_make_room_for_others() -> None:
    loaded: list[str] = []
    made = {name: tiny_dlsgan() for name in "abc"}
    size = Explored(made["a"]).size
    tensors = [*made["a"].parameters(), *made["a"].buffers()]
    assert size == 4 * sum(t.numel() for t in tensors), "float32"
    models = Models(loaders(loaded, made), most=2 * size)
    for name in "abac":
        models.get(name)
    assert loaded == ["a", "b", "c"]
    models.get("a")
    models.get("b")
    assert loaded == ["a", "b", "c", "b"], "b was used before a"
    small = Models(loaders(loaded, made), most=1)
    assert small.get("a") is small.get("a"), "the one that is used stays in any case"


def test_two_browsers_that_choose_a_model_at_once_load_it_once() -> None:
    loaded: list[str] = []
    model, begun, go = tiny_dlsgan(), threading.Event(), threading.Event()

    def load() -> Explored:
        loaded.append("a")
        begun.set()
        assert go.wait(10)
        return Explored(model)

    models = Models({"a": load, "b": lambda: Explored(model)})
    threads = [threading.Thread(target=models.get, args=["a"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    models.get("b")  # does not wait for the other
    go.set()
    for thread in threads:
        thread.join(10)
    assert loaded == ["a"]


@pytest.mark.usefixtures("gradio")
def test_choosing_another_model_shows_what_that_one_can_do() -> None:
    first = tiny_dlsgan()
    second = CAGAN(
        SHAPE,
        (3, 2),
        latent_dim=2,
        generator=TinyConditionalGenerator,
        discriminator=TinyDiscriminator,
    )
    second.class_names = (("disc", "star", "box"), ("dark", "light"))
    shown = open_page_of({"one": Explored(first), "two": Explored(second)})
    assert shown[0].model == "one"
    labels = [w.options.get("label") for w in shown[1 : 1 + SLIDERS]]
    assert labels == [*(f"element {i}" for i in leading(first)), None, None]
    other = visit("two", shown[0])
    assert (other[0].model, len(other[0].latent)) == ("two", 2)
    assert len(positions_of(other)) == 2
    chosen = [w for w in other if getattr(w, "options", {}).get("choices")]
    assert [w.options["choices"] for w in chosen] == [
        [("disc", 0), ("star", 1), ("box", 2)],
        [("dark", 0), ("light", 1)],
    ]
    image = Widget.events["show"](other[0], *typed(positions_of(other), (1, 1)))
    assert (image != Widget.events["show"](other[0], *typed(positions_of(other), (2, 1)))).any()
    # the page of another browser still shows the first one
    Widget.events["show"](shown[0], *typed(positions_of(shown)))


def test_a_model_with_more_labels_than_choices_takes_the_first_class_of_the_others() -> None:
    model = CAGAN(
        SHAPE,
        (3, 2, 2),
        latent_dim=2,
        generator=TinyConditionalGenerator,
        discriminator=TinyDiscriminator,
    )
    answers = Answers(None, Models({"a": lambda: Explored(model)}), 1)
    assert answers.settings(model, typed([0.5, 1.0], (2,))).category == (2, 0, 0)


@pytest.mark.usefixtures("gradio")
def test_a_model_that_cannot_be_loaded_is_one_line_in_the_page() -> None:
    def broken() -> Explored:
        raise UserError("it is damaged")

    models = {"one": lambda: Explored(tiny_dlsgan()), "two": broken}
    from lightning_gans.app.page import serve

    serve(Models(models), free_port())
    with pytest.raises(PageError, match="it is damaged"):
        visit("two")


@pytest.mark.usefixtures("gradio")
def test_runs_are_called_by_what_differs_in_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("dlsgan/photos/a", "pvdgan/photos/a"):
        save(tiny_dlsgan(), Path("runs", name))
    main(["app", "runs/dlsgan/photos/a", "runs/pvdgan/photos/a", f"port={free_port()}"])
    assert visit("pvdgan/photos/a")[0].model == "pvdgan/photos/a"
    main(["app", "ckpt=runs/dlsgan/photos/a", f"port={free_port()}"])
    capsys.readouterr()
    words = ["app", "runs/dlsgan/photos/a", "runs/dlsgan/photos/../photos/a", "port=7999"]
    status, text = refusal(words, capsys)
    assert status == 2
    assert "is named twice" in text
    status, text = refusal(["app", "runs/dlsgan/photos/a", "runs/nowhere", "port=7999"], capsys)
    assert (status, "no checkpoint at runs/nowhere" in text) == (1, True)
    with pytest.raises(UsageError, match="no run is named"):
        workflow.named_runs([])


@pytest.mark.usefixtures("gradio")
def test_modules_that_are_trusted_at_the_start_are_trusted_by_models_that_are_chosen_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # its networks are those of a module of the tests, as those of a user's own model are
    for name in "ab":
        save(tiny_dlsgan(), Path("runs", name))
    trust = f"trust={TinyDiscriminator.__module__}"
    main(["app", "runs/a", "runs/b", f"port={free_port()}", trust])
    shown: list[str] = []
    # gradio answers in threads of its own
    thread = threading.Thread(target=lambda: shown.append(visit("b")[0].model))
    thread.start()
    thread.join(30)
    assert shown == ["b"]
