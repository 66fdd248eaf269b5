"""Trained models from their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lightning_gans.compat import AllocationLimit
from lightning_gans.errors import UserError
from lightning_gans.models.base.building import Builder
from lightning_gans.models.base.model import Model
from lightning_gans.models.base.weights import check_weights, out_of_range
from lightning_gans.runs.checkpoint_format import averages
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, averaged, find, read
from lightning_gans.runs.exported import as_names
from lightning_gans.trust import NoSuchClass, Untrusted, current_trust, trusting

# limits while a model is built: tensor elements per element of its weights, elements in any case,
# and calls of operators
ELEMENTS_PER_WEIGHT, MIN_ELEMENTS = 8, 50_000_000
MAX_CALLS = 1_000_000


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    trust: str | Sequence[str] = (),
    **arguments: object,
) -> Model:
    """Load a trained model, in eval mode, with the averaged weights.

    The file is read as data: no code in it is run. It may name only classes of this package and of
    modules that you trust.

    Args:
        path: a checkpoint, a run's folder, whose newest checkpoint is loaded, or a folder that
            ``export`` wrote.
        device: the model's device.
        trust: your modules whose classes the checkpoint may name, with their submodules, such as
            "my.networks".
        arguments: constructor arguments that replace the saved ones; needed for those that could
            not be saved, such as a network given as a lambda.

    Raises:
        UserError: if an argument could not be saved and is not given.
        Untrusted: if the file names a class of a module that is not trusted.
        CheckpointMissing: if there is no such file, or no checkpoint in the folder.
        UnreadableCheckpoint: if the file is damaged or holds no model of this package.

    Example::

        model = lightning_gans.load("runs/dlsgan/mnist5k/2026-11-21_10-00-00")
        z = model.encode(x)        # images (n, 1, 32, 32) in [-1, 1] to latents
        y = model.decode(z)        # and back
    """
    file = find(Path(path))
    with trusting(trust):
        return restore(read(file), file, **arguments).eval().to(device)


def restore(checkpoint: dict[str, Any], file: Path, /, **arguments: object) -> Model:
    """Build a trained model from a checkpoint, with the averaged weights, on the CPU.

    Args:
        checkpoint: the content of ``file``.
        file: its path, for messages.
        arguments: constructor arguments that replace the saved ones.

    Raises:
        UserError: if an argument could not be saved and is not given.
        Untrusted: if the file names a class that is not allowed.
        UnreadableCheckpoint: if the model cannot be built, or its weights are of another model,
            non-finite or out of range.
    """
    missing = [name for name in checkpoint.get("not_saved", []) if name not in arguments]
    if missing:
        raise UserError(
            f"{file} does not hold {', '.join(missing)}, which has no import path; pass it "
            f"again: load(path, {missing[0]}=...)"
        )
    weights = averaged(checkpoint)
    elements = max(
        MIN_ELEMENTS, ELEMENTS_PER_WEIGHT * sum(value.numel() for value in weights.values())
    )
    model = build(checkpoint["hyper_parameters"], str(file), arguments, elements)
    check_weights(model, checkpoint["state_dict"], file)
    check_weights(model, weights, file)
    model.load_state_dict(weights)
    model.has_averages = checkpoint.get("has_averages") is True or any(
        not torch.equal(value, checkpoint["state_dict"][name])
        for name, value in averages(checkpoint).items()
    )
    model.class_names = as_names(checkpoint.get("class_names")) or model.class_names
    reason = out_of_range(model)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} holds no usable weights: {reason}")
    return model


def build(
    spec: Mapping[str, object],
    origin: str,
    overrides: Mapping[str, object] | None = None,
    elements: int = 1 << 40,
) -> Model:
    """Build a model, with the weights that its constructor gives it.

    Only this package's modules and trusted ones are imported.

    Args:
        spec: a class and its constructor's arguments, as a checkpoint holds them. An argument that
            is such a spec itself stands for a model, which is built first.
        origin: the source of the spec, for messages.
        overrides: arguments that replace those of the spec; they may be objects.
        elements: how many elements of tensors may be allocated.

    Raises:
        Untrusted: if the spec names a class that is not allowed.
        UnreadableCheckpoint: if there is no such class, or it does not take these arguments.
    """
    try:
        with AllocationLimit(elements, MAX_CALLS):
            return Builder(origin, current_trust()).model(spec, overrides or {})
    except NoSuchClass as error:
        raise UnreadableCheckpoint(f"{error}; its model cannot be built") from None
    except (Untrusted, UnreadableCheckpoint):
        raise
    # a constructor may raise anything on unexpected arguments
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableCheckpoint(f"{origin}: its model cannot be built: {reason}") from error
