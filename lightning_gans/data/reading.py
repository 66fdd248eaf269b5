"""Reading images of which some may have become unreadable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.images import Exhausted, UnreadableImage
from lightning_gans.data.tensors import Batch, whole_batch
from lightning_gans.errors import reason


class Readable(NamedTuple):
    """Those of some images that could be read.

    Attributes:
        indices: their numbers in the dataset, k of them.
        x: (k, *shape); empty, of another shape, if k is 0.
        y: their labels, (k,) or (k, labels).
        reasons: by number, why each other image could not be read.
    """

    indices: list[int]
    x: Tensor
    y: Tensor
    reasons: dict[int, str]


def read(images: Dataset[Batch], indices: Sequence[int]) -> Readable:
    """Read some images of a dataset; those that cannot be read are left out.

    A file may vanish, change or become unreadable at any time after it was listed.
    """
    chosen = list(indices)
    getitems = getattr(images, "__getitems__", None)
    try:
        found = getitems(chosen) if getitems else [images[i] for i in chosen]
        x, y = whole_batch(found)
    # which is no reason to leave out an image
    except Exhausted:
        raise
    # a decoder, or a dataset of the user's own, may raise anything: each image is then tried alone
    except Exception:
        return _one_by_one(images, chosen)
    return Readable(chosen, x, y, {})


def _one_by_one(images: Dataset[Batch], indices: Sequence[int]) -> Readable:
    kept, found, reasons = [], [], dict[int, str]()
    for index in indices:
        try:
            found.append(images[index])
        except Exhausted:
            raise
        # as above
        except Exception as error:
            reasons[index] = reason_of(error)
        else:
            kept.append(index)
    x, y = whole_batch(found) if found else (torch.empty(0), torch.empty(0, dtype=torch.long))
    return Readable(kept, x, y, reasons)


def reason_of(error: Exception) -> str:
    """Why an image could not be read, without the path of its file."""
    if isinstance(error, UnreadableImage):
        return error.why
    text = (error.strerror if isinstance(error, OSError) else None) or reason(error)
    filename = getattr(error, "filename", None)
    return " ".join(text.replace(f" {str(filename)!r}", "").split()) if filename else text
