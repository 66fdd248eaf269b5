"""Trained models back from their checkpoints."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from jsonargparse import ArgumentError
from lightning.pytorch.cli import instantiate_module
from torch import Tensor

from lightning_gans.callbacks.checkpoint import newest
from lightning_gans.callbacks.ema import EMA
from lightning_gans.errors import UserError
from lightning_gans.models.base import AdversarialModule


class UnreadableCheckpoint(UserError, ValueError):
    """A file that is no checkpoint of this package, or is not whole."""


def load(
    path: str | Path, device: str | torch.device = "cpu", **arguments: object
) -> AdversarialModule:
    """A trained model, in eval mode, with the averaged weights.

    The file is read as data: no code in it is run. The classes that it names are imported, so load
    only checkpoints whose origin you trust.

    Args:
        path: a checkpoint, or a run's folder, whose newest checkpoint is taken.
        device: where to put the model.
        arguments: constructor arguments to use instead of the saved ones; needed for what could
            not be saved, such as a network given as a lambda.

    Raises:
        UserError: if something could not be saved and is not given.
        FileNotFoundError: if there is no such file, or no checkpoint in the folder.
        UnreadableCheckpoint: if the file is damaged or holds no model of this package.

    Example::

        model = lightning_gans.load("runs/dlsgan/mnist5k/2026-11-21_10-00-00")
        z = model.encode(x)        # images (n, 1, 32, 32) in [-1, 1] to latents
        y = model.decode(z)        # and back
    """
    file = find(Path(path))
    checkpoint = read(file)
    missing = [name for name in checkpoint.get("not_saved", []) if name not in arguments]
    if missing:
        raise UserError(
            f"{file} could not save {', '.join(missing)}, for want of an importable path; "
            f"give it again: load(path, {missing[0]}=...)"
        )
    recipe = {**checkpoint["hyper_parameters"], **arguments}
    recipe.pop("_instantiator", None)
    try:
        model: AdversarialModule = instantiate_module(AdversarialModule, recipe)
    except (ArgumentError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableCheckpoint(f"{file}: its model cannot be built: {reason}") from error
    weights = checkpoint["state_dict"]
    weights.update(checkpoint.get("callbacks", {}).get(EMA.__qualname__, {}).get("average", {}))
    check_fits(model, weights, file)
    model.load_state_dict(weights)
    return model.eval().to(device)


def check_fits(model: AdversarialModule, weights: dict[str, Tensor], file: Path) -> None:
    """Say in one line where a checkpoint's weights are not those of a model.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    for name, value in model.state_dict().items():
        saved = weights.get(name)
        if saved is None or saved.shape != value.shape:
            there = "nothing" if saved is None else str(tuple(saved.shape))
            raise UnreadableCheckpoint(
                f"{file} is of another model: expected {name} of shape {tuple(value.shape)}, it "
                f"holds {there}; build the model with the arguments it was trained with"
            )


def find(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the newest in a run's folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    if path.is_file():
        return path
    if path.is_dir():
        found = newest(path) or newest(path.parent)
        if found:
            return found
        raise FileNotFoundError(f"no checkpoint in the run's folder {path}")
    raise FileNotFoundError(f"no checkpoint at {path}: there is no such file or folder")


def read(file: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, read as data.

    Raises:
        UnreadableCheckpoint: if the file is damaged or holds no model of this package.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error) or "it is cut off").splitlines()[0]
        raise UnreadableCheckpoint(f"{file} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict) or "_class_path" not in checkpoint.get(
        "hyper_parameters", {}
    ):
        raise UnreadableCheckpoint(f"{file} holds no model of lightning_gans")
    return checkpoint
