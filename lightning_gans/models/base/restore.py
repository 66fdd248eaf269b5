"""A model built again from what its checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_gans.compat import Bounded
from lightning_gans.errors import UserError
from lightning_gans.models.base.building import Builder
from lightning_gans.models.base.domains import out_of_domain, wrong_type
from lightning_gans.models.base.model import Model
from lightning_gans.runs.checkpoint_format import averages
from lightning_gans.runs.checkpoints import UnreadableCheckpoint, averaged, check_fits
from lightning_gans.trust import NoSuchClass, Untrusted, current

# how many times its weights' elements a model may make while it is built, and how many at least
SHARE, LEAST = 8, 50_000_000
CALLS = 1_000_000


def build(
    recipe: Mapping[str, object],
    origin: str,
    given: Mapping[str, object] | None = None,
    elements: int = 1 << 40,
) -> Model:
    """A model with the weights that its constructor gives it.

    Nothing is imported but this package's own modules and those that are trusted.

    Args:
        recipe: a class and its constructor's arguments, as a checkpoint holds them. An argument
            that is a recipe itself stands for a model, which is built first.
        origin: where the recipe is from, for messages.
        given: arguments to use instead; they may be objects.
        elements: of tensors that may be made.

    Raises:
        Untrusted: if it names a class that is not allowed.
        UnreadableCheckpoint: if there is no such class, or it does not take these arguments.
    """
    try:
        with Bounded(elements, CALLS):
            return Builder(origin, current()).model(recipe, given or {})
    except NoSuchClass as error:
        raise UnreadableCheckpoint(f"{error}; its model cannot be built") from None
    except (Untrusted, UnreadableCheckpoint):
        raise
    # whatever a constructor makes of arguments that nobody checked
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableCheckpoint(f"{origin}: its model cannot be built: {reason}") from error


def restore(checkpoint: dict[str, Any], file: Path, /, **arguments: object) -> Model:
    """A trained model, with the averaged weights, on the CPU.

    Args:
        checkpoint: the content of ``file``.
        file: its path, for messages.
        arguments: constructor arguments to use instead of the saved ones.

    Raises:
        UserError: if something could not be saved and is not given.
        Untrusted: if the file names a class that is not allowed.
        UnreadableCheckpoint: if the model cannot be built, or the weights are of another or are no
            weights.
    """
    missing = [name for name in checkpoint.get("not_saved", []) if name not in arguments]
    if missing:
        raise UserError(
            f"{file} could not save {', '.join(missing)}, for want of an importable path; "
            f"give it again: load(path, {missing[0]}=...)"
        )
    weights = averaged(checkpoint)
    elements = max(LEAST, SHARE * sum(value.numel() for value in weights.values()))
    model = build(checkpoint["hyper_parameters"], str(file), arguments, elements)
    check_weights(model, checkpoint["state_dict"], file)
    check_weights(model, weights, file)
    model.load_state_dict(weights)
    reason = out_of_domain(model)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} holds no usable weights: {reason}")
    return model


def check_weights(model: Model, weights: dict[str, Tensor], file: Path) -> None:
    """Say in one line where weights are not a model's: their names, shapes or types.

    Raises:
        UnreadableCheckpoint: naming the first difference.
    """
    check_fits(model, weights, file)
    for name, own in model.state_dict().items():
        if wrong_type(own, weights[name]):
            raise UnreadableCheckpoint(
                f"{file} is of another model: expected {name} of type {own.dtype}, it holds "
                f"{weights[name].dtype}"
            )


def check_resumable(model: Model, checkpoint: dict[str, Any], file: Path) -> None:
    """Say in one line what training cannot go on from.

    Raises:
        UnreadableCheckpoint: if averages are not of the model, or numbers are none.
    """
    own = model.state_dict()
    for name, value in averages(checkpoint).items():
        if name not in own or own[name].shape != value.shape or wrong_type(own[name], value):
            raise UnreadableCheckpoint(f"{file} is of another model: its average of {name} differs")
        if not bool(value.isfinite().all()):
            raise UnreadableCheckpoint(f"{file}: its average of {name} is not finite")
    copy = {name: value.clone() for name, value in own.items()}
    try:
        model.load_state_dict(checkpoint["state_dict"])
        reason = out_of_domain(model)
    finally:
        model.load_state_dict(copy)
    if reason is not None:
        raise UnreadableCheckpoint(f"{file} holds no usable weights: {reason}")
