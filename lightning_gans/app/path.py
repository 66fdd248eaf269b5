"""The path from one image to another."""

from __future__ import annotations

from typing import Any

import torch

from lightning_gans.app.answers import Answers, Frame, Session
from lightning_gans.app.images import Pixels
from lightning_gans.app.latents import Latent
from lightning_gans.app.widgets import LIVE, still
from lightning_gans.errors import InputError
from lightning_gans.inversion import linear

# images on the path between two, without its first
STEPS = 100


class Path:
    """Keeps an image, and shows those between it and the one of the page.

    Args:
        answers: of the page.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def keep(self, session: Session | None, *typed: Any) -> list[Any]:
        """The latent with its elements moved, as the start of a path, and its image."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            settings = self.answers.settings(model, typed)
            kept = self.answers.moved(session, model, settings)
            return [session._replace(start=kept), self.answers.image(model, kept, settings)]

    def between(self, session: Session | None, share: float, *typed: Any) -> Pixels:
        """An image on the straight path from the kept latent to the one with its elements moved."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            if session.start is None:
                raise InputError("a path has no start yet; keep an image as its start")
            settings = self.answers.settings(model, typed)
            end = self.answers.moved(session, model, settings)
            path = linear(torch.tensor(session.start), torch.tensor(end), STEPS + 1)
            z: Latent = path[round(share * STEPS)].tolist()
            return self.answers.image(model, z, settings)

    def lay_out(self, gradio: Any, frame: Frame) -> list[Any]:
        """Lay out the path; returns the widgets that another model empties."""
        with gradio.Row():
            with gradio.Column():
                keep = gradio.Button("keep the model's image as the start of a path")
                share = gradio.Slider(
                    0, 1, 0, step=1 / STEPS, label="from the start to the model's image"
                )
            path = still(gradio, "on the path")
        keep.click(self.keep, [frame.session, *frame.settings], [frame.session, path])
        share.input(self.between, [frame.session, share, *frame.settings], path, **LIVE)
        return [share, path]
