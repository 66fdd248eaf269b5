"""What stands in for gradio: it takes any call, and keeps what a page was launched with."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, Self

import pytest

from lightning_gans.app.answers import Session
from lightning_gans.app.explored import Explored, Models
from lightning_gans.app.latents import SLIDERS
from lightning_gans.app.page import serve
from lightning_gans.models import Decodes

NAME = "model"


class Widget:
    """Stands in for all of gradio's widgets."""

    launched: ClassVar[dict[str, object]] = {}
    events: ClassVar[dict[str, Callable[..., Any]]] = {}

    def __init__(self, *args: object, **options: object) -> None:
        self.options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def event(self, function: Callable[..., object], *args: object, **options: object) -> Self:
        Widget.events[getattr(function, "__name__", "")] = function
        return self

    upload = clear = click = release = input = load = then = select = event

    def launch(self, **options: object) -> None:
        Widget.launched = options


class PageError(Exception):
    """Stands in for an error that gradio shows in the page."""

    def __init__(self, message: str, print_exception: bool = True) -> None:
        super().__init__(message)


SKIPPED = object()


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import gradio`` import this."""
    module = ModuleType("gradio")
    names = "Blocks Row Column Tabs Tab File Image Button Slider Dropdown State Markdown Number"
    for name in (*names.split(), "Checkbox", "Radio"):
        setattr(module, name, Widget)
    module.__version__ = "6.31.0"  # type: ignore[attr-defined]  # a stand-in
    module.Error = PageError  # type: ignore[attr-defined]  # a stand-in
    module.skip = lambda: SKIPPED  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "gradio", module)
    Widget.events.clear()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def open_page(model: Decodes, **known: Any) -> list[Any]:
    """Serve a page of one model; what its first visitor is shown: the session and the widgets."""
    return open_page_of({NAME: Explored(model, **known)})


def open_page_of(explored: dict[str, Explored]) -> list[Any]:
    """As :func:`open_page`, of several models, and what is shown of the first."""
    serve(Models({name: (lambda e=e: e) for name, e in explored.items()}), free_port())  # type: ignore[misc]  # e is bound
    return visit(next(iter(explored)))


def visit(name: str = NAME, session: Session | None = None) -> list[Any]:
    """What is shown to somebody who opens the page, or chooses a model."""
    found: list[Any] = Widget.events["choose"](name, session)
    return found


def image_of(shown: Sequence[Any]) -> Any:
    """The model's image in what :meth:`~lightning_gans.app.answers.Answers.shown` gives."""
    return shown[SLIDERS + 2]


def positions_of(shown: Sequence[Any]) -> list[float]:
    """Where the sliders stand that are to be seen."""
    return [w.options["value"] for w in shown[1 : 1 + SLIDERS] if "value" in w.options]


def typed(
    values: Sequence[float], category: Sequence[int] = (), attribute: int = 0
) -> tuple[Any, ...]:
    """What is set on a page, as its handlers get it."""
    return (attribute, *values, *[0.0] * (SLIDERS - len(values)), *category)
