"""What a checkpoint must hold, and the stamp by which a changed one is told.

``checkpoint["lightning_gans"]`` is ``{"format": 1, "sha256": ...}``: the version of the format and
a hash of all weights and averages. Checkpoints of version 0.1.0 have none, and are read without.
The hash finds damage, not forgery: whoever changes weights on purpose can hash them again.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_gans.safe_yaml import flaw

KEY = "lightning_gans"
FORMAT = 1
# under which, of all that callbacks save, the averaged weights are
AVERAGES = "EMA"
# the kinds of files that a run writes into its folder of checkpoints
_NAME = re.compile(r"(last|best|failed)-step=[0-9]{1,18}\.ckpt")


def stamp(checkpoint: dict[str, Any]) -> None:
    """Write the version of the format and the hash of the weights into a checkpoint."""
    checkpoint[KEY] = {"format": FORMAT, "sha256": weights_hash(checkpoint)}


def weights_hash(checkpoint: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes and bytes of the weights and of their averages."""
    state = hashlib.sha256()
    for part, weights in (
        ("weights", checkpoint["state_dict"]),
        ("averages", averages(checkpoint)),
    ):
        state.update(f"{part} {len(weights)}\0".encode())
        for name, value in sorted(weights.items()):
            state.update(f"{name}\0{value.dtype} {tuple(value.shape)}\0".encode())
            content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            state.update(memoryview(content.numpy()))
    return state.hexdigest()


def averages(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The averaged weights that a checkpoint holds, by name; {} if none."""
    found: dict[str, Tensor] = checkpoint.get("callbacks", {}).get(AVERAGES, {}).get("average", {})
    return found


def is_checkpoint_name(name: object) -> bool:
    """Whether a name is one that a run gives its checkpoints, and no path."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def wrong(checkpoint: Any) -> str | None:
    """In words what of a checkpoint's content is not as it must be; None if all is.

    Everything that a checkpoint of any version must hold is looked at, then the stamp, if there is
    one.
    """
    if not isinstance(checkpoint, dict) or any(type(key) is not str for key in checkpoint):
        return "it holds no sections by name"
    hyper = checkpoint.get("hyper_parameters")
    if not isinstance(hyper, dict):
        return f"expected hyper_parameters by name, got {type(hyper).__name__}"
    not_saved = checkpoint.get("not_saved", [])
    if not isinstance(not_saved, list) or not all(type(name) is str for name in not_saved):
        return "expected a list of names as not_saved"
    reason = flaw(hyper)
    if reason:
        return f"its hyper_parameters have {reason}"
    return (
        _wrong_weights(checkpoint.get("state_dict"), "state_dict")
        or _wrong_callbacks(checkpoint.get("callbacks", {}))
        or _wrong_progress(checkpoint)
        or _wrong_stamp(checkpoint)
    )


def _wrong_weights(weights: object, where: str) -> str | None:
    if not isinstance(weights, dict):
        return f"expected {where} by name, got {type(weights).__name__}"
    for name, value in weights.items():
        if type(name) is not str:
            return f"{where} has a key that is no text"
        reason = flaw_of_tensor(value)
        if reason:
            return f"{where}: expected a dense tensor as {name:.80}, got {reason}"
    return None


def flaw_of_tensor(value: object) -> str | None:
    """In words why a value is no tensor with all its numbers in memory; None if it is."""
    if not isinstance(value, Tensor):
        return f"a value of type {type(value).__name__}"
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        return "one that is sparse, quantised or without content"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"one of shape {tuple(value.shape)} with fewer numbers than that"
    return None


def _wrong_callbacks(callbacks: object) -> str | None:
    if not isinstance(callbacks, dict) or not all(type(key) is str for key in callbacks):
        return "expected the state of callbacks by name"
    for key, state in callbacks.items():
        if not isinstance(state, dict):
            return f"expected a state by name of the callback {key:.80}"
        if key == AVERAGES:
            reason = _wrong_weights(state.get("average"), "averages")
            if reason:
                return reason
        if "written" in state:
            reason = _wrong_written(state)
            if reason:
                return f"the callback {key:.80}: {reason}"
    return None


def _wrong_written(state: dict[str, Any]) -> str | None:
    """What is wrong with the state of the callback that saves checkpoints."""
    if not isinstance(state.get("best"), (float, int, type(None))):
        return "expected a number as the best value"
    written = state["written"]
    if not isinstance(written, dict) or not set(written) <= {"last", "best", "failed"}:
        return "expected files by kind"
    for kind, names in written.items():
        if not isinstance(names, list):
            return "expected lists of files"
        for name in names:
            if not is_checkpoint_name(name) or not name.startswith(f"{kind}-"):
                return f"expected names such as {kind}-step=12.ckpt, got {name!r:.60}"
    return None


def _wrong_progress(checkpoint: Mapping[str, Any]) -> str | None:
    """What is wrong with what training goes on from."""
    for key in ("global_step", "epoch"):
        value = checkpoint.get(key, 0)
        if type(value) is not int or not 0 <= value < 2**63:
            return f"expected a whole number as {key}, got {value!r:.40}"
    if not isinstance(checkpoint.get("loops", {}), dict):
        return "expected loops by name"
    for key in ("optimizer_states", "lr_schedulers", "random"):
        states = checkpoint.get(key, [])
        if not isinstance(states, list) or not all(isinstance(state, dict) for state in states):
            return f"expected {key} to be a list of states"
    for state in checkpoint.get("optimizer_states", []):
        kinds = (type(state.get("state")), type(state.get("param_groups")))
        if kinds != (dict, list):
            return "expected optimizer_states with state and param_groups"
    return _wrong_random(checkpoint.get("random", []))


def _wrong_random(states: list[dict[Any, Any]]) -> str | None:
    """What is wrong with the states of generators."""
    for state in states:
        if type(state.get("device")) is not str:
            return "expected the name of a device in random"
        for key, value in state.items():
            if key != "device" and (
                flaw_of_tensor(value) or value.dtype != torch.uint8 or value.ndim != 1
            ):
                return f"expected the state of a generator as random.{key!s:.40}"
    return None


def _wrong_stamp(checkpoint: Mapping[str, Any]) -> str | None:
    if KEY not in checkpoint:
        return None
    found = checkpoint[KEY]
    version = found.get("format") if isinstance(found, dict) else None
    if type(version) is not int or version < 1:
        return f"expected the version of its format, got {version!r:.40}"
    if version > FORMAT:
        return (
            f"its format is version {version}, and this lightning_gans knows {FORMAT}; install a "
            "newer lightning_gans"
        )
    try:
        whole = found.get("sha256") == weights_hash(checkpoint)
    except (RuntimeError, TypeError, struct.error) as error:
        return f"its weights cannot be read: {' '.join(str(error).split()):.200}"
    return None if whole else "the checksum of its weights is wrong: they were changed or damaged"
