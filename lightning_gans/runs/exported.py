"""Exported folders: a trained model as weights and plain data, to be handed to others.

``model.safetensors`` has the weights, with a checksum; ``config.json`` has the model's constructor
and its arguments, as checkpoints hold them, and how its images are prepared. Neither holds code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_gans.errors import UserError, reason
from lightning_gans.files import open_file
from lightning_gans.runs.atomic import write_text
from lightning_gans.runs.folder import EXPORTED_CONFIG, EXPORTED_WEIGHTS
from lightning_gans.runs.tensor_files import DamagedFile, read_tensors, write_tensors

KEY = "lightning_gans"
FORMAT = 1
# bytes; a spec is a few thousand
LARGEST = 10_000_000


class UnreadableExport(UserError, ValueError):
    """A folder that holds no exported model, or a damaged one."""


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> Path:
    """Write ``model.safetensors``; weights that share memory are written each."""
    path = folder / EXPORTED_WEIGHTS
    # "format" tells other readers of safetensors whose tensors these are
    write_tensors(path, {name: value.clone() for name, value in weights.items()}, {"format": "pt"})
    return path


def write_config(folder: Path, config: Mapping[str, object]) -> None:
    """Write ``config.json``.

    Args:
        folder: the exported folder.
        config: plain data; ``model`` is the spec of the constructor.
    """
    text = json.dumps({KEY: {"format": FORMAT}, **config}, indent=2)
    write_text(folder / EXPORTED_CONFIG, f"{text}\n")


def read_config(folder: Path) -> dict[str, Any]:
    """The content of ``config.json``.

    Raises:
        UnreadableExport: if it is missing, damaged, of another program, or of a newer format.
    """
    path = folder / EXPORTED_CONFIG
    try:
        with open_file(path) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        config = json.loads(text)
    except FileNotFoundError:
        raise UnreadableExport(f"{path} does not exist; it belongs to {EXPORTED_WEIGHTS}") from None
    # RecursionError: of deep nesting
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableExport(f"{path} cannot be read: {reason(error)}") from None
    stamp = config.get(KEY) if isinstance(config, dict) else None
    version = stamp.get("format") if isinstance(stamp, dict) else None
    if type(version) is not int or version < 1:
        raise UnreadableExport(f"{path} is not of a model that lightning_gans exported")
    if version > FORMAT:
        raise UnreadableExport(
            f"{path}: its format has version {version}, but this lightning_gans reads up to "
            f"{FORMAT}; install a newer lightning_gans"
        )
    assert isinstance(config, dict)
    return config


def read_exported(weights: Path) -> dict[str, Any]:
    """An exported model as the content of a checkpoint: the constructor's spec and the weights.

    Args:
        weights: ``model.safetensors`` in an exported folder.

    Raises:
        UnreadableExport: if a file is missing, damaged or something else.
    """
    config = read_config(weights.parent)
    try:
        tensors, _ = read_tensors(weights)
    except FileNotFoundError:
        raise UnreadableExport(f"{weights} does not exist") from None
    except DamagedFile as error:
        raise UnreadableExport(str(error)) from None
    return {
        "hyper_parameters": config.get("model"),
        "not_saved": config.get("not_saved", []),
        "state_dict": tensors,
        "class_names": config.get("class_names"),
        "has_averages": config.get("has_averages") is True,
        "global_step": config.get("iterations", 0),
    }


def as_names(value: object) -> tuple[tuple[str, ...], ...] | None:
    """Names of the classes of each label, from lists of texts; None for anything else."""
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(label, (list, tuple)) and all(isinstance(name, str) for name in label)
        for label in value
    ):
        return None
    return tuple(tuple(label) for label in value)
