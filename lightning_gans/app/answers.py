"""What all parts of the page share: whose latent it is, and how a model's image is shown.

Nothing of a visitor is kept here: the page of each browser holds its own session.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from lightning_gans.app.explored import Explored, Models
from lightning_gans.app.images import Pixels, enlarged
from lightning_gans.app.latents import (
    SLIDERS,
    Latent,
    as_batch,
    edited,
    ends,
    leading,
    moved,
    positions,
    rounded,
    step,
)
from lightning_gans.errors import InputError, UserError
from lightning_gans.models import Decodes, Edits
from lightning_gans.text import printable

# the least that the slider of an attribute reaches to both sides, in standard deviations
STRENGTH = 4.0


class Session(NamedTuple):
    """What the page of one browser shows.

    Attributes:
        visitor: a number of this page.
        model: its name.
        latent: of the image, before elements are moved.
        origin: to which the latent is reset.
        start: of a path; None if none was kept.
    """

    visitor: str
    model: str
    latent: Latent
    origin: Latent
    start: Latent | None = None


class Settings(NamedTuple):
    """What is set on the page.

    Attributes:
        attribute: which one is moved.
        values: of the leading elements.
        category: the class of each label of a class-conditional model; () for others.
    """

    attribute: int
    values: tuple[float, ...]
    category: tuple[int, ...]


class Frame(NamedTuple):
    """The widgets that all parts of the page share.

    Attributes:
        session: the state of the browser's page.
        sliders: of the leading elements, as many as any model has.
        strength: the slider of the attribute.
        result: the model's image.
        attribute: which attribute is moved.
        categories: a choice for each label.
    """

    session: Any
    sliders: list[Any]
    strength: Any
    result: Any
    attribute: Any
    categories: list[Any]

    @property
    def settings(self) -> list[Any]:
        """What :meth:`Answers.settings` reads."""
        return [self.attribute, *self.sliders, *self.categories]

    @property
    def shown(self) -> list[Any]:
        """What :meth:`Answers.shown` sets."""
        return [self.session, *self.sliders, self.strength, self.result]


class Answers:
    """What the parts of the page ask of its models.

    Args:
        gradio: the package, which is an optional dependency.
        models: of images.
        labels: how many labels can be chosen.
    """

    def __init__(self, gradio: Any, models: Models, labels: int) -> None:
        self.gradio, self.models, self.labels = gradio, models, labels

    @property
    def width(self) -> int:
        """How many widgets :meth:`shown` sets."""
        return SLIDERS + 3

    @contextmanager
    def errors_in_the_page(self) -> Iterator[None]:
        """Show an error that a visitor can fix in the page."""
        try:
            yield
        except UserError as error:
            raise self.gradio.Error(str(error), print_exception=False) from error

    def begin(self, model: str, latent: Latent) -> Session:
        """The session of a page that shows the image of a latent."""
        return Session(secrets.token_hex(8), model, latent, latent)

    def of(self, session: Session | None) -> tuple[Session, Explored]:
        """A session that is not forgotten, and its model.

        Raises:
            UserError: if it is, or the model cannot be loaded.
        """
        if session is None:
            raise InputError("this page was not used for an hour and is forgotten; reload it")
        return session, self.models.get(session.model)

    def model_of(self, session: Session | None) -> tuple[Session, Decodes]:
        """As :meth:`of`, of the model alone."""
        found, explored = self.of(session)
        return found, explored.model

    def settings(self, model: Decodes, typed: tuple[Any, ...]) -> Settings:
        """What is set, as far as the model has it."""
        attribute, values, category = typed[0], typed[1 : 1 + SLIDERS], typed[1 + SLIDERS :]
        labels = 0 if model.categories is None else len(model.categories.classes)
        # a model with more labels than the page has choices gets the first class of the others
        chosen = [int(c or 0) for c in category[:labels]]
        chosen += [0] * (labels - len(chosen))
        count = min(SLIDERS, model.prior.dim)
        return Settings(int(attribute or 0), tuple(map(float, values[:count])), tuple(chosen))

    def moved(self, session: Session, model: Decodes, settings: Settings) -> Latent:
        """The latent of a page with its elements moved."""
        return moved(model, session.latent, settings.values)

    def image(self, model: Decodes, latent: Latent, settings: Settings) -> Pixels:
        """The image of a latent, as it is shown."""
        return enlarged(edited(model, latent, (), settings.category))

    def shown(
        self, session: Session, model: Decodes, settings: Settings, named: bool = False
    ) -> list[Any]:
        """The new session of a page, its sliders and its image.

        Args:
            session: of the page.
            model: of the session.
            settings: of the page.
            named: whether the sliders get the names of this model's elements.
        """
        slider = self.gradio.Slider
        found = positions(model, session.latent)
        sliders = []
        for index in range(SLIDERS):
            if index >= len(found):
                sliders.append(slider(visible=False))
                continue
            p = found[index]
            low, high = ends(p)
            # the number is the one that edit elements= takes
            label = {"label": f"element {leading(model)[index]}", "visible": True} if named else {}
            value = rounded(p.value, step(p))
            sliders.append(slider(value=value, minimum=low, maximum=high, step=step(p), **label))
        strength = self.strength(model, session.latent, settings)
        return [session, *sliders, strength, self.image(model, session.latent, settings)]

    def strength(self, model: Decodes, latent: Latent, settings: Settings) -> Any:
        """The slider of the attribute, where the latent has it."""
        now = 0.0
        if isinstance(model, Edits):
            found = model.attribute_strengths(as_batch(model, latent))[0]
            now = float(found[min(settings.attribute, len(found) - 1)])
        low, high = ends_of_strength(now)
        edits = isinstance(model, Edits)
        return self.gradio.Slider(value=round(now, 2), minimum=low, maximum=high, visible=edits)


def ends_of_strength(now: float) -> tuple[float, float]:
    """The ends of the slider of an attribute that an image has in a strength.

    >>> ends_of_strength(0.3), ends_of_strength(-6.24)
    ((-4.0, 4.0), (-6.3, 4.0))
    """
    tenths = now * 10
    low = min(-STRENGTH, (tenths // 1) / 10)
    return low, max(STRENGTH, -((-tenths) // 1) / 10)


def attribute_choices(model: Decodes) -> list[tuple[str, int]]:
    """The attributes of a model that edits, by name, or by number."""
    if not isinstance(model, Edits):
        return []
    with torch.no_grad():
        count = model.attribute_strengths(model.prior.sample(1)).shape[1]
    names = model.attribute_names
    if len(names) != count:
        names = [f"attribute {i}" for i in range(count)]
    return [(printable(name), i) for i, name in enumerate(names)]
