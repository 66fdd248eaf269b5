"""Checkpoint files: finding them, and reading them as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gans.compat import plain_name
from lightning_gans.errors import UserError
from lightning_gans.runs.checkpoint_format import AVERAGES, averages, content_error
from lightning_gans.runs.exported import read_exported
from lightning_gans.runs.folder import EXPORTED_WEIGHTS, CheckpointMissing, damage, find
from lightning_gans.trust import shortened

__all__ = [
    "AVERAGES",
    "CheckpointMissing",
    "UnreadableCheckpoint",
    "averaged",
    "check_fits",
    "check_parts",
    "find",
    "read",
]


class UnreadableCheckpoint(UserError, ValueError):
    """A file that is damaged or is not a checkpoint of this package."""


def read(file: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, read as data: no code in it is run.

    The weights of an exported folder are read likewise; training cannot resume from them.

    Raises:
        UnreadableCheckpoint: if the file is damaged, holds no model of this package, or has
            invalid content.
    """
    if file.name == EXPORTED_WEIGHTS:
        exported = read_exported(file)
        check_content(exported, str(file))
        return exported
    reason = damage(file)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} cannot be read as a checkpoint: {reason}")
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    # a damaged file can raise anything
    except Exception as error:
        reason = (str(error) or "it is truncated").splitlines()[0]
        raise UnreadableCheckpoint(f"{file} cannot be read as a checkpoint: {reason}") from error
    described = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if isinstance(described, dict) and "_class_path" not in described:
        raise UnreadableCheckpoint(f"{file} holds no model of lightning_gans")
    check_content(checkpoint, str(file))
    for weights in (checkpoint["state_dict"], averages(checkpoint)):
        # an earlier version saved the weights of compiled networks under names of torch's
        for name in [name for name in weights if name != plain_name(name)]:
            weights[plain_name(name)] = weights.pop(name)
    return checkpoint


def check_content(checkpoint: dict[str, Any], origin: str = "the checkpoint") -> None:
    """Check that the content of a checkpoint is valid.

    Raises:
        UnreadableCheckpoint: if it is not, with the first reason.
    """
    reason = content_error(checkpoint)
    if reason is not None:
        raise UnreadableCheckpoint(f"{origin} is not a valid checkpoint: {reason}")


# what training needs besides the weights
PARTS = (
    *("global_step", "epoch", "loops", "optimizer_states", "lr_schedulers", "callbacks"),
    *("random", "pytorch-lightning_version"),
)
# where Lightning keeps the number of iterations
_STEPS = "epoch_loop.manual_optimization.optim_step_progress"


def check_parts(checkpoint: Mapping[str, Any], origin: str) -> None:
    """Check that training can resume from a checkpoint with valid content.

    Raises:
        UnreadableCheckpoint: if a part is missing, or the numbers of iterations differ.
    """
    missing = [part for part in PARTS if part not in checkpoint]
    if missing:
        raise UnreadableCheckpoint(
            f"{origin} lacks {', '.join(missing)}, without which training cannot resume; resume "
            "from another checkpoint of the run (this one's model can still be loaded)"
        )
    counts = checkpoint["loops"]["fit_loop"].get(_STEPS, {})
    counted = counts.get("total", {}).get("completed") if isinstance(counts, dict) else None
    if counted != checkpoint["global_step"]:
        raise UnreadableCheckpoint(
            f"{origin} is damaged: it is of {checkpoint['global_step']} iterations, and its loops "
            f"count {counted}; resume from another checkpoint of the run"
        )


def averaged(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The weights and buffers of a checkpoint by name; averages replace what was averaged."""
    return {**checkpoint["state_dict"], **averages(checkpoint)}


def check_fits(model: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    """Check that the weights of a checkpoint have the names and shapes of a model's.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    state = model.state_dict()
    for name in weights:
        if name not in state:
            raise UnreadableCheckpoint(
                f"{file} is of another model: it holds {shortened(name)}, which this model lacks; "
                "build the model with the arguments it was trained with"
            )
    for name, value in state.items():
        saved = weights.get(name)
        if saved is None or saved.shape != value.shape:
            found = "nothing" if saved is None else str(tuple(saved.shape))
            raise UnreadableCheckpoint(
                f"{file} is of another model: expected {name} of shape {tuple(value.shape)}, it "
                f"holds {found}; build the model with the arguments it was trained with"
            )
