"""The latent of an upload, found by descent while the visitor looks on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from threading import Event
from typing import Any, Literal

from torch import Tensor

from lightning_gans.app.answers import Answers, Frame, Session
from lightning_gans.app.explored import Explored
from lightning_gans.app.images import enlarged, picture, prepare, psnr
from lightning_gans.app.latents import condition
from lightning_gans.app.look import NEWS
from lightning_gans.app.widgets import still
from lightning_gans.errors import InputError
from lightning_gans.inversion import (
    DescentStep,
    FromEncoder,
    FromPrior,
    GoodnessOfFit,
    Recovery,
    Scaled,
    Start,
    Wasserstein,
    goodness_of_fit,
    recover,
)
from lightning_gans.inversion.goodness import LEAST
from lightning_gans.models import Encodes
from lightning_gans.priors import Prior

Begins = Literal["encoder", "prior"]
STARTS: list[tuple[str, Begins]] = [
    ("the encoder's latent", "encoder"),
    ("draws of the prior", "prior"),
]
# steps: the fewest, the most, and how many there are at first
FEWEST, MOST, USUAL = 50, 1000, 200
# codes that descend together; Adam's learning rate, in units of the prior's elements
RESTARTS, RATE = 4, 0.05
# the weight of the Wasserstein regulariser: its default, that of the papers
WEIGHT = 0.1
# a descent ends after so many seconds, and as many descend at once
SECONDS, AT_ONCE = 60.0, 2
# seconds between two pictures
INTERVAL = 0.3

OnStep = Callable[[DescentStep], bool]


class Descent:
    """Finds the latent of an upload by descent.

    Args:
        answers: of the page.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        # of each page with a descent, what ends it
        self.stops: dict[str, Event] = {}

    def descend(
        self,
        session: Session | None,
        path: str | None,
        steps: float,
        start: Begins,
        regular: bool,
        *typed: Any,
    ) -> Iterator[list[Any]]:
        """What the descent has found, now and then, and at its end the new image of the page."""
        with self.answers.errors_in_the_page():
            session, explored = self.answers.of(session)
            if path is None:
                raise InputError("there is no image whose latent could be found; give one")
            model = explored.model
            settings = self.answers.settings(model, typed)
            x = prepare(path, model.image_shape, explored.preparation)
            c = condition(model, settings.category)
            run = partial(descent, explored, x, c, int(min(steps, MOST)), start, regular)
            unchanged = [self.answers.gradio.skip()] * self.answers.width
            self.abandon(session)
            stop = self.stops[session.visitor] = Event()
            try:
                for found in followed(run, stop):
                    if isinstance(found, DescentStep):
                        made = model.decode(found.codes, c)
                        yield [*unchanged, enlarged(picture(made)), progress(found, psnr(x, made))]
                        continue
                    if self.stops.get(session.visitor) is not stop:
                        yield [*unchanged, None, ""]
                        return
                    code = found.codes[0].tolist()
                    new = session._replace(latent=code, origin=code)
                    made = model.decode(found.codes.to(model.prior.device), c)
                    text = f"{outcome(found, psnr(x, made))} {verdict(found.codes, model.prior)}"
                    shown = self.answers.shown(new, model, settings)
                    yield [*shown, enlarged(picture(made)), text]
            finally:
                if self.stops.get(session.visitor) is stop:
                    del self.stops[session.visitor]

    def stop(self, session: Session | None) -> None:
        """End the descent of a page, which then shows the best latent up to there."""
        if session is not None and (stop := self.stops.get(session.visitor)):
            stop.set()

    def abandon(self, session: Session | None) -> None:
        """End the descent of a page that shows something else now."""
        if session is not None and (stop := self.stops.pop(session.visitor, None)):
            stop.set()

    def lay_out(self, gradio: Any, image: Any, frame: Frame) -> list[Any]:
        """Lay out the descent.

        Args:
            gradio: the package.
            image: the upload.
            frame: of the page.

        Returns:
            The widgets that another model changes: the start, the picture and the text.
        """
        with gradio.Row():
            with gradio.Column():
                steps = gradio.Slider(FEWEST, MOST, USUAL, step=50, label="steps of the descent")
                start = gradio.Radio(choices=STARTS, value="encoder", label="it begins at")
                regular = gradio.Checkbox(
                    False,
                    label="keep the latent like a draw of the prior (Wasserstein regulariser)",
                )
                with gradio.Row():
                    begin = gradio.Button("find the latent of the image by descent")
                    stop = gradio.Button("stop the descent")
            seen = still(gradio, "by descent")
        text = gradio.Markdown("", elem_classes=[NEWS])
        begin.click(
            self.descend,
            [frame.session, image, steps, start, regular, *frame.settings],
            [*frame.shown, seen, text],
            concurrency_limit=AT_ONCE,
            show_progress="hidden",
        )
        stop.click(self.stop, [frame.session], None)
        return [start, seen, text]


def descent(
    explored: Explored,
    x: Tensor,
    condition: Tensor | None,
    steps: int,
    start: Begins,
    regular: bool,
    on_step: OnStep,
) -> Recovery:
    """Recover the latent of an image, (1, *image_shape), in a condition."""
    model = explored.model
    begin: Start = FromPrior()
    if start == "encoder" and isinstance(model, Encodes):
        begin = FromEncoder(model.encode)
    return recover(
        Scaled(model.generator, model.prior.scale()),
        x,
        model.prior,
        Wasserstein() if regular else None,
        WEIGHT,
        steps=steps,
        restarts=RESTARTS,
        lr=RATE,
        start=begin,
        condition=condition,
        on_step=on_step,
    )


def followed(
    run: Callable[[OnStep], Recovery], stop: Event, seconds: float = SECONDS
) -> Iterator[DescentStep | Recovery]:
    """The newest state of a descent, now and then, and last what it found.

    It descends in a thread of its own, which also ends if nobody asks for more states.

    Args:
        run: descends.
        stop: set by somebody else, or here, to end the descent.
        seconds: after which it ends in any case.

    Raises:
        UserError: what the descent raises.
    """
    newest: list[DescentStep] = []
    until = time.monotonic() + seconds

    def on_step(step: DescentStep) -> bool:
        newest[:] = [step]
        return stop.is_set() or time.monotonic() > until

    with_thread = ThreadPoolExecutor(1, "descent")
    try:
        found = with_thread.submit(run, on_step)
        while not found.done():
            wait([found], INTERVAL)
            if newest and not found.done():
                yield newest.pop()
        yield found.result()
    finally:
        stop.set()
        with_thread.shutdown(wait=False)


def progress(step: DescentStep, decibels: float) -> str:
    """Where a descent of one image stands."""
    return (
        f"Step {step.made:,} of {step.steps:,}: loss {float(step.losses[0]):.4f}, PSNR "
        f"{decibels:.1f} dB."
    )


def outcome(found: Recovery, decibels: float) -> str:
    """What a descent of one image has found."""
    made = int(found.trace.isfinite().sum()) - 1
    return (
        f"After {made:,} steps: loss {float(found.losses[0]):.4f} (lower is closer), PSNR of the "
        f"reconstruction {decibels:.1f} dB (higher is closer)."
    )


def verdict(codes: Tensor, prior: Prior) -> str:
    """Whether a code, (1, L), could be a draw of the prior, in words."""
    if codes.numel() < LEAST:
        return f"A test whether the latent could be a draw of the prior needs {LEAST} elements."
    fit = goodness_of_fit(codes, prior)
    if fit.objections:
        return objection(fit)
    meaning = {
        "rejected": "The latent does not look like a draw of the prior",
        "not rejected": "The latent could be a draw of the prior",
        "over-regular": "The latent is closer to the prior than draws are",
    }[fit.verdict]
    if prior.identical:
        return (
            f"{meaning} (Kolmogorov-Smirnov test of its {codes.numel():,} elements: p = "
            f"{fit.pvalue:.2g})."
        )
    return (
        f"{meaning} (Kolmogorov-Smirnov tests: p = {fit.pvalue:.2g} of all elements, and "
        f"{fit.per_index.rejected:,} of {codes.numel():,} are rejected on their own)."
    )


def objection(fit: GoodnessOfFit) -> str:
    """What rejects a code that the Kolmogorov-Smirnov test of all elements does not reject."""
    size = len(fit.per_index.pvalues)
    words, why = [], ""
    for test, pvalue, rejected in fit.objections:
        if test != "index":
            words.append(f"the {test} test (p = {pvalue:.2g})")
            continue
        why = ", which hardly sees a few that are far out,"
        if rejected == 1:
            words.append(f"the test of 1 of its {size:,} elements on its own (p = {pvalue:.2g})")
        else:
            words.append(
                f"the tests of {rejected:,} of its {size:,} elements on their own (the smallest "
                f"p = {pvalue:.2g})"
            )
    *most, last = words
    tests = f"{', '.join(most)} and {last}" if most else last
    return (
        f"The latent is not in every respect like a draw of the prior: it is rejected by {tests}. "
        f"The Kolmogorov-Smirnov test of all {size:,} elements{why} does not reject it (p = "
        f"{fit.pvalue:.2g})."
    )
