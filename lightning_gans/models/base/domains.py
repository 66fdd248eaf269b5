"""Whether loaded weights are numbers that a model can have."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_gans.labels import split
from lightning_gans.priors import Categorical
from lightning_gans.priors.traced import Traced


def wrong_type(own: Tensor, saved: Tensor) -> bool:
    """Whether saved numbers are of another kind than a model's: precision is no kind."""
    if own.is_floating_point():
        return not saved.is_floating_point()
    return own.dtype != saved.dtype


def out_of_domain(model: nn.Module) -> str | None:
    """In words which number of a model cannot be; None if all can."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"{name} has values that are NaN or infinite"
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix, recurse=False):
            # others may hold infinities on purpose
            if buffer.is_floating_point() and bool(buffer.isnan().any()):
                return f"{name} has values that are NaN"
        reason = _own_domain(module)
        if reason:
            return f"{prefix}.{reason}" if prefix else reason
    return None


def _own_domain(module: nn.Module) -> str | None:
    if isinstance(module, Traced):
        v = module.v
        if not bool(v.isfinite().all()) or bool((v < 0).any()) or not bool(v.sum() > 0):
            return f"v is a variance, expected at least 0, got {float(v.min()):.4g}"
    if isinstance(module, Categorical):
        for part in split(module.p, module.classes):
            if not bool((part >= 0).all()) or abs(float(part.sum()) - 1) > 1e-2:
                return "p are probabilities, expected at least 0 and of sum 1"
    if isinstance(module, _BatchNorm) and module.running_var is not None:
        mean, variance = module.running_mean, module.running_var
        if not bool(variance.isfinite().all()) or bool((variance < 0).any()):
            return f"running_var is a variance, got {float(variance.min()):.4g}"
        if mean is not None and not bool(mean.isfinite().all()):
            return "running_mean has values that are infinite"
    return None
