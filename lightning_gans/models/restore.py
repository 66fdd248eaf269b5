"""A model built again from what its checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch.cli import instantiate_module

from lightning_gans.checkpoints import UnreadableCheckpoint, averaged, check_fits
from lightning_gans.errors import UserError
from lightning_gans.models.base import Model


def build(recipe: Mapping[str, object], origin: str) -> Model:
    """A model with the weights that its constructor gives it.

    Args:
        recipe: a class and its constructor's arguments, as a checkpoint holds them. An argument
            that is a recipe itself stands for a model, which is built first.
        origin: where the recipe is from, for messages.

    Raises:
        UnreadableCheckpoint: if there is no such class, or it does not take these arguments.
    """
    arguments = {
        name: build(value, origin) if isinstance(value, dict) and "_class_path" in value else value
        for name, value in recipe.items()
        if name != "_instantiator"
    }
    try:
        model: Model = instantiate_module(Model, arguments)
    except (ArgumentError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableCheckpoint(f"{origin}: its model cannot be built: {reason}") from error
    return model


def restore(checkpoint: dict[str, Any], file: Path, /, **arguments: object) -> Model:
    """A trained model, with the averaged weights, on the CPU.

    Args:
        checkpoint: the content of ``file``.
        file: its path, for messages.
        arguments: constructor arguments to use instead of the saved ones.

    Raises:
        UserError: if something could not be saved and is not given.
        UnreadableCheckpoint: if the model cannot be built, or the weights are of another.
    """
    missing = [name for name in checkpoint.get("not_saved", []) if name not in arguments]
    if missing:
        raise UserError(
            f"{file} could not save {', '.join(missing)}, for want of an importable path; "
            f"give it again: load(path, {missing[0]}=...)"
        )
    model = build({**checkpoint["hyper_parameters"], **arguments}, str(file))
    weights = averaged(checkpoint)
    check_fits(model, weights, file)
    model.load_state_dict(weights)
    return model
