"""The published files of MNIST-C (Mu & Gilmer 2019), read where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lightning_gans.errors import InputError, UserError, reason
from lightning_gans.files import open_file

FOLDER = "mnist_c"
"""The folder of the published archive, beside the folder ``MNIST``."""

Part = Literal["train", "test"]


def read_published(root: Path, name: str, part: Part, labels: Tensor) -> Tensor | None:
    """Corrupted digits of ``root/mnist_c/NAME/PART_images.npy``; None if there is no such file.

    Args:
        root: of the data, which has ``MNIST`` too.
        name: of the corruption.
        part: of MNIST that was corrupted.
        labels: (n,), of the digits of that part, in MNIST's order. The file's own labels, in
            ``PART_labels.npy``, must equal them if they are there: corrupted digits are compared
            with the digits that they were made from.

    Returns:
        (n, 1, 28, 28), uint8.

    Raises:
        InputError: if a file is damaged, or has other images or labels than expected.
        NotRegularFile: if it is a pipe, a socket, a device or a folder.
    """
    path = root / FOLDER / name / f"{part}_images.npy"
    if not path.exists():
        return None
    images = _array(path)
    expected = (len(labels), 28, 28, 1)
    if images.dtype != np.uint8 or images.shape != expected:
        raise InputError(
            f"{path} has {images.shape} {images.dtype}, expected {expected} uint8, the digits of "
            f"MNIST's {part} files corrupted one by one; {_CURE}"
        )
    path = path.with_name(f"{part}_labels.npy")
    if path.exists():
        found = _array(path)
        if found.shape != (len(labels),) or not np.array_equal(found, labels.numpy()):
            raise InputError(
                f"{path} has other labels than MNIST's {part} file, so its images are not these "
                f"digits in this order; {_CURE}"
            )
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


_CURE = "put the published file there, or move it away and the set is made anew"


def _array(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        with open_file(path) as file:
            found = np.load(file, allow_pickle=False)
    except UserError:
        raise
    # a damaged file may raise almost anything in the reader
    except Exception as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); {_CURE}") from error
    # an archive of several arrays is read as well
    if not isinstance(found, np.ndarray):
        raise InputError(f"{path} is not an array of NumPy; {_CURE}")
    return found
