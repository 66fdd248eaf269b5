"""A page to explore trained models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from lightning_gans.app.explored import Draws, Explored, Judge, Models, Verdict, check_images
from lightning_gans.app.images import Preparation
from lightning_gans.app.page import check_port, serve
from lightning_gans.errors import InputError, UsageError, UserError, reason
from lightning_gans.models import Generates, Model, Reconstructs
from lightning_gans.models.base.load import load
from lightning_gans.ood.calibration import calibrated
from lightning_gans.ood.conformal import pvalues
from lightning_gans.ood.scorer import Scorer, score_all
from lightning_gans.ranges import Range, checked, fits, shown
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.exported import read_config
from lightning_gans.runs.folder import EXPORTED_WEIGHTS
from lightning_gans.runs.layout import find_checkpoint
from lightning_gans.runs.report import labels
from lightning_gans.workflows.ood_score import choose_scores, held_out_scores, log
from lightning_gans.workflows.outcome import Outcome
from lightning_gans.workflows.run_data import run_data
from lightning_gans.workflows.seeds import decoded, draw

# pixels that are cut off or added on a side
Margin = Annotated[int, Range(0, 8_192)]
# the samples of a seed that are shown
SAMPLES = 36
# held-out images that are scored at once
BATCH = 250


@checked
def app(runs: Sequence[str], port: Annotated[int, Range(1, 65_535)] = 7860) -> Outcome:
    """Open a page to draw samples, reconstruct an image and move its latent.

    lightning-gans app runs/dlsgan/mnist5k/TIME
    lightning-gans app runs/dlsgan/photos/TIME runs/cagan/photos/TIME

    An image of your own is shown beside its reconstruction, with its PSNR and with the p-value that
    ood score gives it, or its latent is found by descent, as invert finds it. The samples of a seed
    are those of generate. Of several models one is chosen in the page, and loaded then.

    The page needs gradio: pip install 'lightning_gans[app]'. Only this machine can open it.

    Args:
        runs: folders of runs, or checkpoints; on the command line also last or best, of the newest
            run. Also ckpt.
        port: of the page's address, http://127.0.0.1:PORT.

    Raises:
        UsageError: if no run is named, or one twice.
        UserError: if gradio is missing, the first model generates no images, or the port is in use.
    """
    check_port(port)  # loading takes seconds
    ckpts = named_runs(runs)
    serve(Models({name: partial(explored, ckpt) for name, ckpt in ckpts.items()}), port)
    return Outcome(find(Path(next(iter(ckpts.values())))).parent, "")


def named_runs(typed: Sequence[str]) -> dict[str, str]:
    """What was typed, by the part of each path in which it differs from the others.

    Raises:
        UsageError: if nothing was typed, or one checkpoint twice.
        CheckpointMissing: if there is no checkpoint somewhere.
    """
    if not typed:
        raise UsageError("no run is named; give a run's folder")
    ckpts = [
        str(find_checkpoint(ckpt, {}, "runs")) if ckpt in ("last", "best") else ckpt
        for ckpt in typed
    ]
    files = [find(Path(ckpt)).resolve() for ckpt in ckpts]
    for index, file in enumerate(files):
        if file in files[:index]:
            raise UsageError(f"runs={ckpts[index]} is named twice: {file}; leave one of them out")
    return dict(zip(labels([Path(ckpt) for ckpt in ckpts]), ckpts, strict=True))


def explored(ckpt: str) -> Explored:
    """A trained model, and what a page shows of its data.

    Raises:
        UserError: if it makes no images, or cannot be loaded.
    """
    model = load(ckpt)
    return Explored(check_images(model), preparation(ckpt), draws_of(model), judge_of(model, ckpt))


def draws_of(model: Model) -> Draws | None:
    """The samples of a seed, as ``generate`` draws them; None if the model generates none."""
    if not isinstance(model, Generates):
        return None

    def draws(seed: int, truncation: float | None, category: tuple[int, ...]) -> Tensor:
        chosen = category if model.categories is not None else None
        latents = draw(model, seed, range(SAMPLES), chosen, truncation)
        return torch.cat([*decoded(model, latents)])

    return draws


def judge_of(model: Model, ckpt: str) -> Judge | None:
    """What says how usual an image is among held-out ones, as ``ood score`` judges it.

    The scores of held-out images are those beside the checkpoint; if there are none yet, they are
    computed, which takes a while, and stored there.

    Returns:
        None if the model does not reconstruct images; also, with a warning, if it has no score or
        the held-out images cannot be read.
    """
    if not isinstance(model, Reconstructs):
        return None
    try:
        (name,), _ = choose_scores(None, model)
        checkpoint, data = find(Path(ckpt)), run_data(ckpt)
        description = None if data is None else data.describe()
        compute = partial(held_out_scores, model, data, (name,), BATCH, data is not None, score_all)
        calibration = calibrated(checkpoint, description, None, (name,), compute, log)
        scorer = Scorer(model, (name,), calibration.thresholds)
    except (UserError, OSError) as error:
        warnings.warn(f"the page shows no OOD p-values: {reason(error)}", stacklevel=2)
        return None
    held_out = calibration.scores[name]

    def judge(x: Tensor) -> Verdict:
        p = pvalues(scorer(x)[name], held_out)
        return Verdict(float(p[0]), name, len(held_out))

    return judge


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
