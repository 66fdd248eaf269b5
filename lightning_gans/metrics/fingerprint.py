"""What a data set is known by: a hash of what it says of itself and of some of its pixels."""

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

# examples that are looked at
_SPREAD = 64


class Hash(Protocol):
    """What ``hashlib`` makes."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in bytes."""


def fingerprint(dataset: Dataset[Any]) -> str:
    """A hash that differs if the data set does, without reading the whole of it.

    It depends on the class, the number of examples, the public attributes (numbers, words, tensors,
    lists of them, data sets within: resolution, channels, crop, labels ...), the names and sizes of
    the files that are listed, and every bit of 64 examples spread over the whole. Of listed files
    that all exist, names are taken from the folder they share, so that data may move. It does not
    see a change to some few images that leaves the sizes of their files as they were.

    Args:
        dataset: with a length; an example is a tensor, or a tuple of which the first is.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: if an example is not the same when it is read again (random augmentation).
    """
    found = hashlib.sha256()
    _describe(dataset, found)
    length = len(cast(Sequence[Any], dataset))
    if length and not torch.equal(_image(dataset, 0), _image(dataset, 0)):
        raise InputError(
            f"examples of {type(dataset).__name__} change from one reading to the next: statistics"
            " of them cannot be kept; leave random augmentation out"
        )
    for index in np.unique(np.linspace(0, length - 1, _SPREAD, dtype=int)) if length else ():
        hash_tensor(_image(dataset, int(index)), found)
    return found.hexdigest()


def hash_tensor(tensor: Tensor, into: Hash) -> None:
    """Take a tensor's type, shape and bits into a hash."""
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
    # of anything else (a transform), the class: what it does shows in the pixels


def _without_folder(values: Sequence[object]) -> Sequence[object]:
    """Files by their names below the folder they share, and their sizes; others as they are."""
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
