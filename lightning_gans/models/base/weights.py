"""Checks that saved weights fit a model and have valid values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.labels import split
from lightning_gans.priors import Categorical, Traced
from lightning_gans.runs.checkpoint_format import averages
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, check_fits
from lightning_gans.trust import shortened


def check_weights(model: nn.Module, weights: dict[str, Tensor], file: Path) -> None:
    """Check that weights are a model's, by their names, shapes and types.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    check_fits(model, weights, file)
    for name, value in model.state_dict().items():
        if differs_in_type(value, weights[name]):
            raise UnreadableCheckpoint(
                f"{file} is of another model: expected {name} of type {value.dtype}, it holds "
                f"{weights[name].dtype}"
            )


def check_resumable(model: nn.Module, checkpoint: dict[str, Any], file: Path) -> None:
    """Check that training can resume from a checkpoint's weights and averages.

    Raises:
        UnreadableCheckpoint: if an average is not of the model, or a value is not finite or out of
            its range.
    """
    state = model.state_dict()
    found = averages(checkpoint)
    for name, _ in model.named_parameters() if found else ():
        if name not in found:
            raise UnreadableCheckpoint(
                f"{file} is of another model: it holds no average of {shortened(name)}"
            )
    for name, value in found.items():
        if (
            name not in state
            or state[name].shape != value.shape
            or differs_in_type(state[name], value)
        ):
            raise UnreadableCheckpoint(
                f"{file} is of another model: its average of {shortened(name)} differs"
            )
        if not bool(value.isfinite().all()):
            raise UnreadableCheckpoint(f"{file}: its average of {name} is not finite")
    copy = {name: value.clone() for name, value in state.items()}
    try:
        model.load_state_dict(checkpoint["state_dict"])
        reason = out_of_range(model)
    finally:
        model.load_state_dict(copy)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} holds no usable weights: {reason}")


def differs_in_type(value: Tensor, saved: Tensor) -> bool:
    """Whether saved values differ in type from a model's; all floating-point types are the same."""
    if value.is_floating_point():
        return not saved.is_floating_point()
    return value.dtype != saved.dtype


def out_of_range(model: nn.Module) -> str | None:
    """Which value of a model is non-finite or out of its range, as a message; None if none is."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"{name} has values that are NaN or infinite"
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix, recurse=False):
            # a buffer may hold infinities on purpose
            if buffer.is_floating_point() and bool(buffer.isnan().any()):
                return f"{name} has values that are NaN"
        reason = _module_out_of_range(module)
        if reason:
            return f"{prefix}.{reason}" if prefix else reason
    return None


def _module_out_of_range(module: nn.Module) -> str | None:
    if isinstance(module, Traced):
        v = module.v
        if not bool(v.isfinite().all()) or bool((v < 0).any()) or not bool(v.sum() > 0):
            return f"v is a variance, expected at least 0, got {float(v.min()):.4g}"
    if isinstance(module, Categorical):
        for part in split(module.p, module.classes):
            if not bool((part >= 0).all()) or abs(float(part.sum()) - 1) > 1e-2:
                return "p are probabilities, expected values of at least 0 with sum 1"
    if isinstance(module, _BatchNorm) and module.running_var is not None:
        mean, variance = module.running_mean, module.running_var
        if not bool(variance.isfinite().all()) or bool((variance < 0).any()):
            return (
                f"running_var is a variance, expected at least 0, got {float(variance.min()):.4g}"
            )
        if mean is not None and not bool(mean.isfinite().all()):
            return "running_mean has values that are infinite"
    return None
