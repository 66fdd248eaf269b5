"""Checks of optimizer states from a checkpoint: torch restores them without any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lightning_gans.runs.checkpoint_format import tensor_error
from lightning_gans.runs.checkpoints import UnreadableCheckpoint
from lightning_gans.trust import shortened


def check_optimizer_states(
    optimizers: Sequence[Optimizer], states: Sequence[Mapping[str, Any]], origin: str
) -> None:
    """Check that saved states fit optimizers.

    A fused step with averages of another shape than the parameter's would write to memory that is
    not its own.

    Args:
        optimizers: of the model.
        states: from the checkpoint.
        origin: the checkpoint's path, for messages.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    if len(states) != len(optimizers):
        raise UnreadableCheckpoint(
            f"{origin} has {len(states)} optimizer states, the model has {len(optimizers)} "
            "optimizers"
        )
    for number, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        reason = state_error(optimizer, state)
        if reason is not None:
            raise UnreadableCheckpoint(f"{origin}: state of optimizer {number}: {reason}")


def state_error(optimizer: Optimizer, state: Mapping[str, Any]) -> str | None:
    """Why a saved state does not fit an optimizer, for a message; None if it does."""
    own, saved = optimizer.param_groups, state["param_groups"]
    if len(saved) != len(own):
        return f"expected {len(own)} groups of parameters, got {len(saved)}"
    parameters: dict[object, Tensor] = {}
    for group, found in zip(own, saved, strict=True):
        reason = group_error(group, found)
        if reason is not None:
            return reason
        parameters.update(zip(found["params"], group["params"], strict=True))
    # some optimizers without a fused step keep factors instead of averages
    fused = any(group.get("fused") for group in (*own, *saved))
    names: set[object] = set()
    for index, values in state["state"].items():
        if index not in parameters or not isinstance(values, dict):
            return "it is of a parameter that the model lacks"
        names = names or set(values)
        if set(values) != names:
            return "its parameters do not all have the same averages"
        shape = parameters[index].shape if fused else None
        reasons = (value_error(key, value, shape) for key, value in values.items())
        if reason := next(filter(None, reasons), None):
            return reason
    return None


def group_error(group: Mapping[str, Any], saved: object) -> str | None:
    """Why saved options of a group of parameters are invalid; None if they are valid."""
    indices = saved.get("params") if isinstance(saved, dict) else None
    if (
        not isinstance(saved, dict)
        or not isinstance(indices, list)
        or not all(type(index) is int for index in indices)
        or len(indices) != len(group["params"])
    ):
        return "its parameters are not those of the model"
    for key, value in group.items():
        if key != "params" and not is_same_kind(value, saved.get(key)):
            return f"expected {key} such as {shortened(value)}, got {shortened(saved.get(key))}"
    return None


def value_error(key: object, value: object, shape: torch.Size | None) -> str | None:
    """Why a saved average or count is invalid, for a message; None if it is valid.

    Args:
        key: its name.
        value: of one parameter.
        shape: of the parameter; None if any shape is valid.
    """
    name = shortened(key)
    if not isinstance(value, Tensor):
        valid = isinstance(value, (int, float, type(None)))
        return None if valid else f"expected {name} to be a tensor or number"
    if reason := tensor_error(value):
        return f"expected {name} to be a dense tensor, got {reason}"
    if not value.is_floating_point() or not bool(value.isfinite().all()):
        return f"expected {name} to be finite floating-point numbers"
    if shape is not None and value.ndim and value.shape != shape:
        return f"expected {name} of shape {tuple(shape)}, got {tuple(value.shape)}"
    return None


def is_same_kind(value: object, saved: object) -> bool:
    """Whether a saved option has the kind of an optimizer's own: numbers, or as many of them."""
    if isinstance(value, (tuple, list)):
        return (
            isinstance(saved, (tuple, list))
            and len(saved) == len(value)
            and all(is_same_kind(part, other) for part, other in zip(value, saved, strict=True))
        )
    if isinstance(value, Tensor):
        return isinstance(saved, Tensor) or is_same_kind(0.0, saved)
    if value is None or isinstance(value, bool):
        return saved is None or isinstance(saved, bool)
    if isinstance(value, (int, float)):
        return isinstance(saved, (int, float)) and math.isfinite(saved)
    return type(saved) is type(value)
