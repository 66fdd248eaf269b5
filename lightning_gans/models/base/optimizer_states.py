"""Checks of optimizer states from a checkpoint: torch restores them without any."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lightning_gans.runs.checkpoint_format import tensor_error
from lightning_gans.runs.checkpoints import UnreadableCheckpoint


def check_optimizer_states(
    optimizers: Sequence[Optimizer], states: Sequence[Mapping[str, Any]]
) -> None:
    """Check that saved states fit optimizers.

    A fused step with averages of another shape than the parameter's would write to memory that is
    not its own.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    if len(states) != len(optimizers):
        raise UnreadableCheckpoint(
            f"the checkpoint has {len(states)} optimizer states, the model has {len(optimizers)} "
            "optimizers"
        )
    for number, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        reason = state_error(optimizer, state)
        if reason is not None:
            raise UnreadableCheckpoint(f"the checkpoint: state of optimizer {number}: {reason}")


def state_error(optimizer: Optimizer, state: Mapping[str, Any]) -> str | None:
    """Why a saved state does not fit an optimizer, for a message; None if it does."""
    own, saved = optimizer.param_groups, state["param_groups"]
    if len(saved) != len(own):
        return f"expected {len(own)} groups of parameters, got {len(saved)}"
    parameters: dict[object, Tensor] = {}
    for group, found in zip(own, saved, strict=True):
        indices = found.get("params") if isinstance(found, dict) else None
        if (
            not isinstance(indices, list)
            or not all(type(index) is int for index in indices)
            or len(indices) != len(group["params"])
        ):
            return "its parameters are not those of the model"
        parameters.update(zip(indices, group["params"], strict=True))
        for key, value in group.items():
            if key != "params" and not is_same_kind(value, found.get(key)):
                return f"expected {key} such as {value!r:.40}, got {found.get(key)!r:.40}"
    for index, values in state["state"].items():
        if index not in parameters or not isinstance(values, dict):
            return "it belongs to a parameter that the model lacks"
        shape = parameters[index].shape
        fused = any(group.get("fused") for group in (*own, *saved))
        for key, value in values.items():
            if isinstance(value, Tensor):
                reason = tensor_error(value)
                if reason is not None:
                    return f"expected {key!s:.40} to be a dense tensor, got {reason}"
                if not value.is_floating_point() or not bool(value.isfinite().all()):
                    return f"expected {key!s:.40} to be finite floating-point numbers"
                # some optimizers without a fused step keep factors instead of averages
                if fused and value.ndim and value.shape != shape:
                    return f"expected {key!s:.40} of shape {tuple(shape)}, got {tuple(value.shape)}"
            elif not isinstance(value, (int, float, type(None))):
                return f"expected {key!s:.40} to be a tensor or number"
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
