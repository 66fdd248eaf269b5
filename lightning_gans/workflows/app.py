"""A page to explore a trained model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

from lightning_gans.app.page import Preparation, check_port, serve
from lightning_gans.errors import UserError
from lightning_gans.models.base.load import load
from lightning_gans.ranges import Range, checked
from lightning_gans.runs.checkpoints import find
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data


@checked
def app(ckpt: str, port: Annotated[int, Range(1, 65_535)] = 7860) -> Outcome:
    """Open a page to draw samples, reconstruct an image and edit elements of its latent.

    lightning-gans app runs/dlsgan/mnist5k/TIME

    The page needs gradio: pip install 'lightning_gans[app]'. Only this machine can open it.

    Args:
        ckpt: a run's folder, or a checkpoint; on the command line also last or best, of the newest
            run.
        port: of the page's address, http://127.0.0.1:PORT.

    Raises:
        UserError: if gradio is missing, the model generates no images, or the port is in use.
    """
    check_port(port)  # loading takes seconds
    serve(load(ckpt), port, preparation(ckpt))
    return Outcome(find(Path(ckpt)).parent, "")


def preparation(ckpt: str) -> Preparation:
    """How the images of a checkpoint's run were prepared; by default the largest centred square."""
    try:
        data = run_data(ckpt)
    except UserError as error:
        warnings.warn(f"images are not cropped as in training: {error}", stacklevel=2)
        data = None
    return Preparation() if data is None else Preparation(data.crop, data.padding)
