"""Checkpoint files: where a run keeps them, and what is in them, read as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.errors import UserError
from lightning_gans.runs.checkpoint_format import AVERAGES, averages, wrong
from lightning_gans.runs.folder import CheckpointMissing, damage, find

__all__ = [
    "AVERAGES",
    "CheckpointMissing",
    "UnreadableCheckpoint",
    "averaged",
    "check_fits",
    "find",
    "read",
]


class UnreadableCheckpoint(UserError, ValueError):
    """A file that is no checkpoint of this package, or is not whole."""


def read(file: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, read as data: no code in it is run.

    Raises:
        UnreadableCheckpoint: if the file is damaged, holds no model of this package, or has
            content that no checkpoint has.
    """
    reason = damage(file)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} cannot be read as a checkpoint: {reason}")
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    # whatever a damaged file makes the reader stumble over
    except Exception as error:
        reason = (str(error) or "it is cut off").splitlines()[0]
        raise UnreadableCheckpoint(f"{file} cannot be read as a checkpoint: {reason}") from error
    described = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if isinstance(described, dict) and "_class_path" not in described:
        raise UnreadableCheckpoint(f"{file} holds no model of lightning_gans")
    check_content(checkpoint, str(file))
    return checkpoint


def check_content(checkpoint: dict[str, Any], origin: str = "the checkpoint") -> None:
    """Say in one line what of a checkpoint's content is not as it must be.

    Raises:
        UnreadableCheckpoint: if there is anything.
    """
    reason = wrong(checkpoint)
    if reason is not None:
        raise UnreadableCheckpoint(f"{origin} is no checkpoint that can be used: {reason}")


def averaged(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """A checkpoint's weights and buffers by name; of what was averaged, the averages."""
    return {**checkpoint["state_dict"], **averages(checkpoint)}


def check_fits(model: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    """Say in one line where a checkpoint's weights are not those of a model.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    own = model.state_dict()
    for name in weights:
        if name not in own:
            raise UnreadableCheckpoint(
                f"{file} is of another model: it holds {name}, which this one has not; build the "
                "model with the arguments it was trained with"
            )
    for name, value in own.items():
        saved = weights.get(name)
        if saved is None or saved.shape != value.shape:
            there = "nothing" if saved is None else str(tuple(saved.shape))
            raise UnreadableCheckpoint(
                f"{file} is of another model: expected {name} of shape {tuple(value.shape)}, it "
                f"holds {there}; build the model with the arguments it was trained with"
            )
