"""The page: draw samples, reconstruct an image of your own, and move its latent.

Nothing of a visitor is kept here: the page of each browser holds its own latent.
"""

from __future__ import annotations

import errno
import importlib
import socket
from typing import Any

from lightning_gans.app.answers import Answers, Frame, Session, Settings, attribute_choices
from lightning_gans.app.attributes import Attributes
from lightning_gans.app.descent import Descent
from lightning_gans.app.elements import Elements
from lightning_gans.app.explored import Explored, Judge, Models
from lightning_gans.app.images import enlarged, picture, prepare, psnr
from lightning_gans.app.latents import category_choices, decoded, draw, encode
from lightning_gans.app.look import HEAD, NEWS
from lightning_gans.app.path import Path
from lightning_gans.app.samples import Samples
from lightning_gans.app.widgets import still
from lightning_gans.data.images import SUFFIXES
from lightning_gans.errors import UserError
from lightning_gans.models import Edits, Encodes, Generates, Reconstructs

HOST = "127.0.0.1"
TITLE = "lightning_gans explorer"
# the oldest gradio: earlier ones load parts of the page from other hosts
OLDEST = (6, 31)
# seconds until what the page of a browser held is forgotten
FORGOTTEN = 3600
# how many browsers' pages are held
BROWSERS = 100
# labels with a choice, where there are several models
LABELS = 12


def check_port(port: int) -> None:
    """Refuse a port that cannot be listened on, before the model is loaded.

    Raises:
        UserError: if another program listens there, or the system does not allow it.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"expected port from 1 to 65535, got {port}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            busy = error.errno == errno.EADDRINUSE
            why = "in use by another program" if busy else f"not allowed ({error.strerror})"
            raise UserError(f"port={port} is {why}; choose another, such as {port + 1}") from error


def import_gradio() -> Any:
    """The package gradio, in a version that the page was tried with.

    Raises:
        UserError: if it is missing, cannot be imported, or is older.
    """
    advice = "install it with pip install --upgrade 'lightning_gans[app]'"
    try:
        gradio: Any = importlib.import_module("gradio")
    except ImportError as error:
        raise UserError(f"the page needs gradio ({error}); {advice}") from error
    if tuple(map(int, gradio.__version__.split(".")[:2])) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise UserError(
            f"the page needs gradio {needed} or newer, and {gradio.__version__} is here; {advice}"
        )
    return gradio


def serve(models: Models, port: int = 7860) -> None:
    """Serve the page to this machine alone, until interrupted.

    Args:
        models: of images; the first one is loaded now, the others when they are chosen.
        port: of the page's address.

    Raises:
        UserError: if gradio is missing, the first model cannot be loaded, or the port is in use.
    """
    gradio = import_gradio()
    check_port(port)
    page = make_page(gradio, models)
    print(f"the page is at http://{HOST}:{port}; Ctrl-C ends it", flush=True)
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,  # whatever the environment says
        quiet=True,  # its line on public links is not for this page
        show_error=True,
        state_session_capacity=BROWSERS,
        max_file_size="50mb",
        head=HEAD,
        # the footer leads to an interface for programs, and the history would keep images
        footer_links=[],
        run_history=False,
    )


class Page(Answers):
    """What the page answers as a whole: which model, and which image.

    Args:
        gradio: the package, which is an optional dependency.
        models: of images.
        labels: how many labels can be chosen.
    """

    def __init__(self, gradio: Any, models: Models, labels: int) -> None:
        super().__init__(gradio, models, labels)
        self.descent = Descent(self)

    def choose(self, name: str, session: Session | None) -> list[Any]:
        """A sample of another model, and the page with what that model can do."""
        with self.errors_in_the_page():
            self.descent.abandon(session)
            explored, g = self.models.get(name), self.gradio
            model, choices = explored.model, category_choices(explored.model)
            new = self.begin(name, draw(model))
            settings = Settings(0, (), (0,) * len(choices))
            shown = self.shown(new, model, settings, named=True)
            # more labels than the page has choices keep their first classes
            choices = (choices + [[]] * self.labels)[: self.labels]
            dropdowns = [
                g.Dropdown(choices=c, value=0 if c else None, visible=bool(c)) for c in choices
            ]
            attributes, edits = attribute_choices(model), isinstance(model, Edits)
            attribute = g.Dropdown(
                choices=attributes, value=0 if attributes else None, visible=edits
            )
            start = g.Radio(
                visible=isinstance(model, Encodes),
                value="encoder" if isinstance(model, Encodes) else "prior",
            )
            emptied = [g.Image(value=None) for _ in range(4)]
            return [
                *shown,
                attribute,
                *dropdowns,
                g.Checkbox(visible=edits),
                g.Markdown(visible=not edits),
                g.File(value=None, visible=explored.takes_images),
                g.Button(visible=isinstance(model, Generates)),
                start,
                0,
                "",
                "",
                *emptied,
            ]

    def new(self, session: Session | None, *typed: Any) -> list[Any]:
        """Another sample."""
        with self.errors_in_the_page():
            self.descent.abandon(session)
            session, model = self.model_of(session)
            latent = draw(model)
            new = session._replace(latent=latent, origin=latent)
            return [*self.shown(new, model, self.settings(model, typed)), None, ""]

    def upload(self, path: str | None, session: Session | None, *typed: Any) -> list[Any]:
        """An image as the model sees it; its reconstruction, how close it is, and how usual."""
        with self.errors_in_the_page():
            self.descent.abandon(session)
            session, explored = self.of(session)
            model, settings = explored.model, self.settings(explored.model, typed)
            if path is None:
                return [*self.shown(session, model, settings), None, ""]
            x = prepare(path, model.image_shape, explored.preparation)
            if not isinstance(model, Reconstructs):
                text = "This model has no encoder; the tab “descent” finds the image's latent."
                return [*self.shown(session, model, settings), enlarged(picture(x)), text]
            code = encode(model, x)
            made = decoded(model, code, settings.category)
            text = (
                f"PSNR of the encoder's reconstruction: {psnr(x, made):.1f} dB (higher is closer). "
            )
            text += usual(explored.judge, x)
            new = session._replace(latent=code, origin=code)
            return [*self.shown(new, model, settings), enlarged(picture(x)), text]


def usual(judge: Judge | None, x: Any) -> str:
    """How usual an image x, (1, *image_shape), is among held-out ones, in words.

    Args:
        judge: None if nothing is known of held-out images.
        x: the image.
    """
    if judge is None:
        return "No OOD p-value: there are no scores of held-out images."
    found = judge(x)
    return (
        f"OOD p-value: {found.pvalue:.2g}, the share of {found.held_out:,} held-out images with a "
        f"{found.score} score at least as high. Below 0.05 the image is unlike them."
    )


def make_page(gradio: Any, models: Models) -> Any:
    """Lay out the page, which gets its first image, and what fits the model, when it is opened.

    Raises:
        UserError: if the first model cannot be loaded.
    """
    first: Explored = models.get(models.names[0])
    labels = len(category_choices(first.model))
    # a tab that is not selected cannot be hidden later, so of several models all tabs are shown
    several, edits = len(models.names) > 1, isinstance(first.model, Edits)
    labels = max(labels, LABELS) if several else labels
    answers = Page(gradio, models, labels)
    elements, attributes = Elements(answers), Attributes(answers)
    path, samples = Path(answers), Samples(answers)
    # nothing is sent anywhere, and uploaded files are deleted
    with gradio.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(FORGOTTEN, FORGOTTEN),
    ) as page:
        session = gradio.State(None, time_to_live=FORGOTTEN)
        gradio.Markdown(f"# {TITLE}")
        choice = gradio.Dropdown(
            choices=models.names,
            value=models.names[0],
            label="model",
            visible=several,
        )
        with gradio.Row():
            with gradio.Column():
                # a file: gradio would decode an image itself, without bounds
                image = gradio.File(
                    label="an image of your own", type="filepath", file_types=list(SUFFIXES)
                )
                sample = gradio.Button("draw a sample")
                categories = [
                    gradio.Dropdown(choices=[], label=f"category of label {i + 1}", visible=False)
                    for i in range(labels)
                ]
            seen = still(gradio, "as the model sees it")
            result = still(gradio, "the model's image")
        text = gradio.Markdown("", elem_classes=[NEWS])
        with gradio.Tabs():
            with gradio.Tab("elements"):
                sliders = elements.sliders(gradio)
                elements_end = gradio.Column()
            with gradio.Tab("attributes", visible=several or edits) as edit:
                attribute, strength, keep_others, none = attributes.lay_out(gradio)
            frame = Frame(session, sliders, strength, result, attribute, categories)
            with elements_end:
                elements.lay_out(gradio, frame)
            attributes.connect(edit, keep_others, frame)
            with gradio.Tab("descent", visible=several or first.takes_images):
                start, by_descent, outcome = answers.descent.lay_out(gradio, image, frame)
            with gradio.Tab("path"):
                share, between = path.lay_out(gradio, frame)
            with gradio.Tab("samples", visible=several or first.draws is not None):
                (sheet,) = samples.lay_out(gradio, frame)
        told = [*frame.shown, seen, text]
        opened = [
            *frame.shown,
            attribute,
            *categories,
            keep_others,
            none,
            image,
            sample,
            start,
            share,
            text,
            outcome,
            *[seen, by_descent, between, sheet],
        ]
        choice.input(answers.choose, [choice, session], opened)
        for changed in (image.upload, image.clear):
            changed(answers.upload, [image, session, *frame.settings], told)
        sample.click(answers.new, [session, *frame.settings], told)
        page.load(answers.choose, [choice, session], opened)
    return page
