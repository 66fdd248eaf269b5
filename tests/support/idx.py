"""Files of digits as MNIST's publisher makes them, small ones."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

TEST, TRAIN = 12, 23


def write_idx(path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()))


def write_digits(root: Path, name: str, seed: int, train: int = TRAIN, test: int = TEST) -> None:
    """Blocks of grey, of which no two are alike."""
    numbers = np.random.default_rng(seed)
    for part, n in (("train", train), ("t10k", test)):
        if not n:
            continue
        x = numbers.integers(0, 256, (n, 7, 7), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte.gz", x)
        y = numbers.integers(0, 10, n, dtype=np.uint8)
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte.gz", y)
