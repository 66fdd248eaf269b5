"""Fingerprints of data sets: hashes of their attributes and of some of their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.errors import InputError

# how many examples are read
_EXAMPLES = 64


class Hash(Protocol):
    """A hash of ``hashlib``."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""


def fingerprint(dataset: Dataset[Any]) -> str:
    """A hash that differs between data sets, without reading them completely.

    It depends on the class, the number of examples, the public attributes (numbers, strings,
    tensors, lists of them, nested data sets: resolution, channels, crop, labels ...), the names and
    sizes of listed files, and every bit of 64 evenly spaced examples. The names of files are
    relative to the folder that they share, so that data can be moved. A change to a few images
    that keeps the sizes of their files can go unnoticed.

    Args:
        dataset: with a length; an example is a tensor, or a tuple of which the first is.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: if an example differs when it is read again (random augmentation).
    """
    found = hashlib.sha256()
    _describe(dataset, found)
    length = len(cast(Sequence[Any], dataset))
    if length and not torch.equal(_image(dataset, 0), _image(dataset, 0)):
        raise InputError(
            f"examples of {type(dataset).__name__} differ when they are read again: statistics"
            " of them cannot be stored; leave random augmentation out"
        )
    for index in np.unique(np.linspace(0, length - 1, _EXAMPLES, dtype=int)) if length else ():
        hash_tensor(_image(dataset, int(index)), found)
    return found.hexdigest()


def hash_tensor(tensor: Tensor, into: Hash) -> None:
    """Add a tensor's type, shape and bits to a hash."""
    into.update(f"{tensor.dtype} {tuple(tensor.shape)}\0".encode())
    bits = tensor.detach().cpu().contiguous().reshape(-1)
    if bits.numel():
        into.update(bits.view(torch.uint8).numpy().data)


def _image(dataset: Dataset[Any], index: int) -> Tensor:
    example = dataset[index]
    return torch.as_tensor(example[0] if isinstance(example, Sequence) else example)


def _describe(value: object, into: Hash) -> None:
    into.update(f"{type(value).__module__}.{type(value).__qualname__}\0".encode())
    if isinstance(value, Tensor):
        hash_tensor(value, into)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        hash_tensor(torch.from_numpy(np.ascontiguousarray(value)), into)
    elif isinstance(value, Number | str | bytes | Path | None):
        into.update(f"{value!r}\0".encode(errors="surrogateescape"))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _describe(name, into)
            _describe(item, into)
    elif isinstance(value, list | tuple | range):
        into.update(f"{len(value)}\0".encode())
        for item in _without_folder(value):
            _describe(item, into)
    elif isinstance(value, Dataset):
        into.update(f"{len(cast(Sequence[Any], value))}\0".encode())
        public = {name: item for name, item in vars(value).items() if not name.startswith("_")}
        _describe(dict(sorted(public.items())), into)
    # anything else (a transform) adds its class: its effect shows in the pixels


def _without_folder(values: Sequence[object]) -> Sequence[object]:
    """Existing files as (name below the folder they share, size); other values unchanged."""
    paths = [Path(value) for value in values if isinstance(value, str | Path)]
    if not paths or len(paths) < len(values):
        return values
    try:
        sizes = [path.stat().st_size for path in paths]
    except (OSError, ValueError):
        return values
    shared = len(_shared([path.parent.parts for path in paths]))
    return [("/".join(path.parts[shared:]), size) for path, size in zip(paths, sizes, strict=True)]


def _shared(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, last = min(folders), max(folders)
    count = 0
    while count < len(first) and first[: count + 1] == last[: count + 1]:
        count += 1
    return first[:count]
