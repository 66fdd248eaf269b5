"""A page to explore a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lightning_gans.app.page import serve
from lightning_gans.models.base.load import load
from lightning_gans.ranges import Range, checked
from lightning_gans.runs.checkpoints import find
from lightning_gans.workflows.outcome import Outcome


@checked
def app(ckpt: str, port: Annotated[int, Range(1, 65_535)] = 7860) -> Outcome:
    """Open a page to draw samples, reconstruct an image and edit elements of its latent.

    lightning-gans app runs/dlsgan/mnist5k/TIME

    The page needs gradio: pip install 'lightning_gans[app]'. Only this machine can open it.

    Args:
        ckpt: a run's folder, or a checkpoint.
        port: of the page's address, http://127.0.0.1:PORT.

    Raises:
        UserError: if gradio is missing, or the model generates no images.
    """
    serve(load(ckpt), port)
    return Outcome(find(Path(ckpt)).parent, "")
