"""The elements of the latent that have the largest scale."""

from __future__ import annotations

from typing import Any

from lightning_gans.app.answers import Answers, Frame, Session
from lightning_gans.app.images import Pixels
from lightning_gans.app.latents import SLIDERS
from lightning_gans.app.widgets import LIVE


class Elements:
    """Moves elements of the latent, one by one.

    Args:
        answers: of the page.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def show(self, session: Session | None, *typed: Any) -> Pixels:
        """The image of the latent with its elements moved."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            settings = self.answers.settings(model, typed)
            return self.answers.image(model, self.answers.moved(session, model, settings), settings)

    def reset(self, session: Session | None, *typed: Any) -> list[Any]:
        """The latent as it was before anything was moved."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            back = session._replace(latent=session.origin)
            return self.answers.shown(back, model, self.answers.settings(model, typed))

    def sliders(self, gradio: Any) -> list[Any]:
        """Lay out the sliders, which get their names and ends from a model."""
        return [gradio.Slider(-1, 1, 0, label=f"element {i}") for i in range(SLIDERS)]

    def lay_out(self, gradio: Any, frame: Frame) -> None:
        """Connect the sliders and the categories with the model's image."""
        restore = gradio.Button("reset the elements")
        page = [frame.session, *frame.settings]
        restore.click(self.reset, page, frame.shown)
        for slider in frame.sliders:
            slider.input(self.show, page, frame.result, **LIVE)
        for dropdown in frame.categories:
            dropdown.input(self.show, page, frame.result)
