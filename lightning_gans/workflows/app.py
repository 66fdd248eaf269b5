"""A page to explore a trained model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from lightning_gans.app.page import Preparation, check_port, serve
from lightning_gans.errors import InputError, UserError
from lightning_gans.models.base.load import load
from lightning_gans.ranges import Range, checked, fits, shown
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.exported import read_config
from lightning_gans.runs.folder import EXPORTED_WEIGHTS
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data

# pixels that are cut off or added on a side
Margin = Annotated[int, Range(0, 8_192)]


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
    """How the images were prepared that a checkpoint, or an exported model, was trained on.

    By default the largest centred square is kept.
    """
    try:
        file = find(Path(ckpt))
        if file.name == EXPORTED_WEIGHTS:
            return exported_preparation(read_config(file.parent))
        data = run_data(ckpt)
    except UserError as error:
        warnings.warn(f"images are not cropped as in training: {error}", stacklevel=2)
        data = None
    return Preparation() if data is None else Preparation(data.crop, data.padding)


def exported_preparation(config: Mapping[str, Any]) -> Preparation:
    """The preparation in the config of an exported folder, which may be a stranger's.

    Raises:
        InputError: if it is none.
    """
    told = config.get("preparation")
    told = told if isinstance(told, dict) else {}
    crop, padding = told.get("crop", "center"), told.get("padding", 0)
    crop = tuple(crop) if isinstance(crop, list) else crop
    margins = isinstance(crop, tuple) and len(crop) == 4 and all(fits(m, Margin) for m in crop)
    is_crop = margins or (isinstance(crop, str) and crop in ("center", "none"))
    if not is_crop or not fits(padding, Margin):
        raise InputError(f"expected a crop and a padding, got {shown(crop)} and {shown(padding)}")
    return Preparation(crop, padding)
