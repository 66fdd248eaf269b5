"""The attributes of an image, for models that edit them."""

from __future__ import annotations

from typing import Any

from lightning_gans.app.answers import STRENGTH, Answers, Frame, Session
from lightning_gans.app.latents import as_batch
from lightning_gans.app.widgets import LIVE
from lightning_gans.errors import InputError
from lightning_gans.models import Edits


class Attributes:
    """Moves the latent of the page along an attribute, as ``edit attribute=`` does.

    Args:
        answers: of the page.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def strengthen(
        self, session: Session | None, strength: float, keep_others: bool, *typed: Any
    ) -> list[Any]:
        """The image with the attribute in another strength."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            if not isinstance(model, Edits):
                raise InputError(f"the model {session.model} edits no attributes")
            settings = self.answers.settings(model, typed)
            z = as_batch(model, self.answers.moved(session, model, settings))
            z = model.edit_latents(z, settings.attribute, float(strength), keep_others)
            changed = session._replace(latent=z[0].tolist())
            new, *sliders, _, image = self.answers.shown(changed, model, settings)
            # the slider stays in the visitor's hand
            return [new, *sliders, image]

    def find(self, session: Session | None, *typed: Any) -> Any:
        """The slider of the attribute, where the image has it."""
        with self.answers.errors_in_the_page():
            session, model = self.answers.model_of(session)
            settings = self.answers.settings(model, typed)
            return self.answers.strength(
                model, self.answers.moved(session, model, settings), settings
            )

    def lay_out(self, gradio: Any) -> tuple[Any, Any, Any, Any]:
        """Lay out the choice of an attribute, the slider of its strength, a box, and a note."""
        none = gradio.Markdown("This model edits no attributes.", visible=False)
        attribute = gradio.Dropdown(choices=[], label="attribute")
        strength = gradio.Slider(
            -STRENGTH,
            STRENGTH,
            0,
            step=0.01,
            label="strength, in standard deviations (positive: the image has the attribute)",
        )
        keep_others = gradio.Checkbox(True, label="keep the other attributes as they are")
        return attribute, strength, keep_others, none

    def connect(self, tab: Any, keep_others: Any, frame: Frame) -> None:
        """Connect the widgets with the model's image."""
        page = [frame.session, *frame.settings]
        shown = [frame.session, *frame.sliders, frame.result]
        frame.strength.input(
            self.strengthen,
            [frame.session, frame.strength, keep_others, *frame.settings],
            shown,
            **LIVE,
        )
        frame.attribute.input(self.find, page, frame.strength)
        # elements may have moved in the meantime
        tab.select(self.find, page, frame.strength)
