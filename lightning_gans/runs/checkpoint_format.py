"""What a checkpoint must hold, and the stamp that detects changed weights.

``checkpoint["lightning_gans"]`` is ``{"format": 1, "sha256": ...}``: the version of the format and
a hash of all weights and averages. Checkpoints of version 0.1.0 have no stamp and can still be
read. The hash detects damage, not forgery: anyone who changes weights can hash them again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_gans.runs.folder import is_checkpoint_name
from lightning_gans.safe_yaml import plain_data_error
from lightning_gans.trust import shortened

KEY = "lightning_gans"
FORMAT = 1
# the callback whose saved state holds the averaged weights
AVERAGES = "EMA"
# the callback whose saved state holds the iterations at the last evaluation
EVALUATION = "Evaluation"
# the most values in a checkpoint, tensors counted as one, and the deepest level of nesting
MAX_PARTS, MAX_DEPTH = 1_000_000, 50


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
    """The averaged weights of a checkpoint, by name; {} if it has none."""
    average: dict[str, Tensor] = (
        checkpoint.get("callbacks", {}).get(AVERAGES, {}).get("average", {})
    )
    return average


def content_error(checkpoint: Any) -> str | None:
    """Why the content of a checkpoint is invalid, for a message; None if it is valid.

    What a checkpoint of any version must hold is checked first, then the stamp if there is one.
    """
    if not isinstance(checkpoint, dict) or any(type(key) is not str for key in checkpoint):
        return "expected a dictionary with string keys"
    if reason := size_error(checkpoint):
        return reason
    hyper = checkpoint.get("hyper_parameters")
    if not isinstance(hyper, dict):
        return f"expected hyper_parameters to be a dictionary, got {type(hyper).__name__}"
    not_saved = checkpoint.get("not_saved", [])
    if not isinstance(not_saved, list) or not all(
        type(name) is str and name.isidentifier() for name in not_saved
    ):
        return "expected not_saved to be a list of names"
    reason = plain_data_error(hyper)
    if reason:
        return f"its hyper_parameters hold {reason}"
    return (
        _weights_error(checkpoint.get("state_dict"), "state_dict")
        or _callbacks_error(checkpoint.get("callbacks", {}))
        or _progress_error(checkpoint)
        or _stamp_error(checkpoint)
    )


def size_error(value: object) -> str | None:
    """Why nested values take too long to go through, for a message; None if they do not.

    A few lists that hold each other can stand for more values than fit in memory.
    """
    count, level = 0, [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for part in level:
            if isinstance(part, dict):
                below += part.values()
            elif isinstance(part, (list, tuple)):
                below += part
            if count + len(below) > MAX_PARTS:
                return f"it holds more than {MAX_PARTS:,} values"
        count += len(below)
        level = below
        if not level:
            return None
    return f"it has more than {MAX_DEPTH} levels of nesting"


def _weights_error(weights: object, where: str) -> str | None:
    if not isinstance(weights, dict):
        return f"expected {where} to be a dictionary, got {type(weights).__name__}"
    for name, value in weights.items():
        if type(name) is not str:
            return f"{where} has a key that is not a string"
        if not name.isprintable():
            return f"{where} has a key that is not printable"
        reason = tensor_error(value)
        if reason:
            return f"{where}: expected {shortened(name)} to be a dense tensor, got {reason}"
    return None


def tensor_error(value: object) -> str | None:
    """What a value is instead of a dense tensor with data in memory; None if it is one."""
    if not isinstance(value, Tensor):
        return f"a value of type {type(value).__name__}"
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
        return "one that is sparse, quantised or without data"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return f"one of shape {tuple(value.shape)} with fewer elements in memory"
    return None


def _callbacks_error(callbacks: object) -> str | None:
    if not isinstance(callbacks, dict) or not all(type(key) is str for key in callbacks):
        return "expected callbacks to be a dictionary with string keys"
    for key, state in callbacks.items():
        if not isinstance(state, dict):
            return f"expected the state of the callback {shortened(key)} to be a dictionary"
        if key == AVERAGES:
            reason = _weights_error(state.get("average"), "averages")
            if reason:
                return reason
        if key == EVALUATION:
            measured_at = state.get("measured_at", "nothing")
            if measured_at is not None and not _is_count(measured_at):
                return f"expected measured_at to be a count, got {measured_at!r:.40}"
        if "written" in state:
            reason = _written_error(state)
            if reason:
                return f"the callback {shortened(key)}: {reason}"
    return None


def _written_error(state: dict[str, Any]) -> str | None:
    """Why the state of the checkpoint callback is invalid; None if it is valid."""
    if not isinstance(state.get("best"), (float, int, type(None))):
        return "expected best to be a number"
    written = state["written"]
    if not isinstance(written, dict) or not set(written) <= {"last", "best", "failed"}:
        return "expected written to have the keys last, best or failed"
    for kind, names in written.items():
        if not isinstance(names, list):
            return "expected lists of file names"
        for name in names:
            if not is_checkpoint_name(name) or not name.startswith(f"{kind}-"):
                return f"expected names such as {kind}-step=12.ckpt, got {name!r:.60}"
    return None


def _progress_error(checkpoint: Mapping[str, Any]) -> str | None:
    """Why the state that training resumes from is invalid; None if it is valid."""
    for key in ("global_step", "epoch"):
        value = checkpoint.get(key, 0)
        if type(value) is not int or not 0 <= value < 2**63:
            return f"expected {key} to be an integer of at least 0, got {value!r:.40}"
    reason = _loops_error(checkpoint.get("loops", {"fit_loop": {}}))
    if reason:
        return reason
    for key in ("optimizer_states", "lr_schedulers", "random"):
        states = checkpoint.get(key, [])
        if not isinstance(states, list) or not all(isinstance(state, dict) for state in states):
            return f"expected {key} to be a list of states"
    for state in checkpoint.get("optimizer_states", []):
        kinds = (type(state.get("state")), type(state.get("param_groups")))
        if kinds != (dict, list):
            return "expected optimizer_states with state and param_groups"
    return _rng_error(checkpoint.get("random", []))


def _loops_error(loops: object) -> str | None:
    """Why Lightning's counts of iterations are invalid; None if they are valid."""
    if not isinstance(loops, dict) or not isinstance(loops.get("fit_loop"), dict):
        return "expected loops to be a dictionary with fit_loop"
    for loop in loops.values():
        if not isinstance(loop, dict) or any(type(key) is not str for key in loop):
            return "expected loops to hold dictionaries with string keys"
        for key, state in loop.items():
            if not isinstance(state, dict):
                return f"expected loops to hold a dictionary as {shortened(key)}"
            if key.endswith("progress") and not _is_count(state):
                return f"expected loops to hold counts of at least 0 as {shortened(key)}"
    return None


def _is_count(value: object) -> bool:
    """Whether nested dictionaries hold only integers of at least 0."""
    if isinstance(value, dict):
        return all(map(_is_count, value.values()))
    return isinstance(value, int) and 0 <= value < 2**63


def _rng_error(states: list[dict[Any, Any]]) -> str | None:
    """Why the states of the random generators are invalid; None if they are valid."""
    for state in states:
        if type(state.get("device")) is not str:
            return "expected random to name its device"
        for key, value in state.items():
            if key != "device" and (
                tensor_error(value) or value.dtype != torch.uint8 or value.ndim != 1
            ):
                return f"expected random.{key!s:.40} to be the state of a random generator"
    return None


def _stamp_error(checkpoint: Mapping[str, Any]) -> str | None:
    if KEY not in checkpoint:
        return None
    saved = checkpoint[KEY]
    version = saved.get("format") if isinstance(saved, dict) else None
    if type(version) is not int or version < 1:
        return f"expected a format version of at least 1, got {version!r:.40}"
    if version > FORMAT:
        return (
            f"its format has version {version}, but this lightning_gans reads up to {FORMAT}; "
            "install a newer lightning_gans"
        )
    try:
        unchanged = saved.get("sha256") == weights_hash(checkpoint)
    except (RuntimeError, TypeError, struct.error) as error:
        return f"its weights cannot be read: {' '.join(str(error).split()):.200}"
    return (
        None if unchanged else "the checksum of its weights is wrong: they were changed or damaged"
    )
