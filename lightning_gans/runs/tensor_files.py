"""Files of tensors with a checksum of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lightning_gans.errors import UserError, reason
from lightning_gans.runs.atomic import replacing

# the entry of a file's metadata that holds the checksum of everything else
CHECKSUM = "sha256"


class DamagedFile(UserError, ValueError):
    """A file that is truncated, was changed since it was written, or is of another kind."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write a safetensors file, as a whole or not at all.

    Args:
        path: of the file; folders are made as needed.
        tensors: by name.
        notes: texts by name.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    values = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(values, metadata={**notes, CHECKSUM: content_hash(values, notes)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and notes that :func:`write_tensors` wrote, on the CPU.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedFile: if it is truncated, was changed, or is something else.
    """
    if path.exists() and not path.is_file():
        raise DamagedFile(f"{path} is not a file")
    try:
        with safe_open(path, framework="pt") as file:
            notes = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFile(f"{path} is damaged or something else: {reason(error)}") from None
    written = notes.pop(CHECKSUM, None)
    if written is None:
        raise DamagedFile(f"{path} has no checksum")
    if written != content_hash(tensors, notes):
        raise DamagedFile(f"{path} was changed or damaged since it was written")
    return tensors, notes


def content_hash(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and bytes of tensors, and of notes."""
    state = hashlib.sha256(json.dumps(dict(notes), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        state.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        state.update(content.numpy().tobytes())
    return state.hexdigest()
