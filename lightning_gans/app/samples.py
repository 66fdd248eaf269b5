"""The samples of a seed."""

from __future__ import annotations

from typing import Any

from lightning_gans.app.answers import Answers, Frame, Session
from lightning_gans.app.images import Pixels
from lightning_gans.app.widgets import still
from lightning_gans.callbacks.pictures import grid
from lightning_gans.errors import InputError

# samples in a row of the grid, and the bound of the truncation that means none
COLUMNS, WHOLE = 6, 4.0


class Samples:
    """Shows the samples of a seed.

    Args:
        answers: of the page.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def sheet(
        self, session: Session | None, seed: float | None, truncation: float, *typed: Any
    ) -> Pixels:
        """The samples of a seed."""
        with self.answers.errors_in_the_page():
            session, explored = self.answers.of(session)
            if explored.draws is None:
                raise InputError(f"the model {session.model} generates no samples")
            category = self.answers.settings(explored.model, typed).category
            bound = None if truncation >= WHOLE else truncation
            x = explored.draws(int(seed or 0), bound, category)
            pixels: Pixels = grid(x, COLUMNS).permute(1, 2, 0).numpy()
            return pixels

    def lay_out(self, gradio: Any, frame: Frame) -> list[Any]:
        """Lay out the samples; returns the widgets that another model empties."""
        with gradio.Row():
            with gradio.Column():
                seed = gradio.Number(0, label="seed", precision=0, minimum=0)
                truncation = gradio.Slider(
                    0.1,
                    WHOLE,
                    WHOLE,
                    step=0.1,
                    label=f"truncation, in standard deviations ({WHOLE:g}: none)",
                )
                many = gradio.Button("draw the samples of this seed")
            samples = still(gradio, "samples")
        many.click(self.sheet, [frame.session, seed, truncation, *frame.settings], samples)
        return [samples]
