"""Decoded images of a folder in one file of the user's cache, read through a memory map.

Decoding a file takes a hundred times as long as copying its pixels at the size of training. Each
image is stored when it is first decoded, so that the first epoch takes as long as without, and
nothing is decoded that is not asked for. Its checksum is written after it: an image that another
process has half written, that a crash has lost or a disk has damaged counts as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lightning_gans.errors import reason
from lightning_gans.files import check_regular
from lightning_gans.text import printable

_FORMAT: Final = 1
_CHECKSUM: Final = 4
# the share of the free space of a disk that is taken at most
_FREE: Final = 0.5


class DecodedFiles:
    """The file with the pixels of images of one shape, and the checksum of each.

    Args:
        path: of the file, which exists or can be made.
        count: how many images it has room for.
        shape: (C, H, W) of an image.

    Raises:
        OSError: if it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, int, int]) -> None:
        self.path, self.count, self.shape = path, count, shape
        self.each = int(np.prod(shape))
        self._file: int | None = None
        self._map: mmap.mmap | None = None
        self._full = False
        self._open()

    def read(self, row: int) -> Tensor | None:
        """The pixels of an image, (C, H, W) uint8; None if they are not stored."""
        _, stored = self._open()
        expected = stored[row * _CHECKSUM : (row + 1) * _CHECKSUM]
        if expected == bytes(_CHECKSUM):
            return None
        start = self._start(row)
        pixels = bytearray(stored[start : start + self.each])
        if _checksum(pixels) != expected:
            return None
        return torch.frombuffer(pixels, dtype=torch.uint8).view(self.shape)

    def write(self, row: int, pixels: Tensor) -> None:
        """Store the pixels of an image; without room for them nothing is stored any more."""
        if self._full:
            return
        file, _ = self._open()
        content = pixels.contiguous().numpy().tobytes()
        try:
            # not through the map, where a full disk would end the process
            _write_all(file, content, self._start(row))
            _write_all(file, _checksum(content), row * _CHECKSUM)
        except OSError as error:
            self._full = True
            rank_zero_info(f"{self.path} holds no more decoded images: {reason(error)}")

    def _start(self, row: int) -> int:
        return self.count * _CHECKSUM + row * self.each

    def _open(self) -> tuple[int, mmap.mmap]:
        if self._file is None or self._map is None:
            size = self._start(self.count)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            file = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o600)
            try:
                check_regular(self.path, os.fstat(file))
                if os.fstat(file).st_size != size:
                    os.ftruncate(file, size)
                # with holes, which take no space until they are written
                self._map = mmap.mmap(file, size, access=mmap.ACCESS_READ)
            except BaseException:
                os.close(file)
                raise
            self._file = file
        return self._file, self._map

    def __getstate__(self) -> dict[str, Any]:
        # a process that loads data opens the file itself
        return {**vars(self), "_file": None, "_map": None}

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)  # type: ignore[arg-type]


def decoded_files(
    root: Path, names: Sequence[str], shape: tuple[int, int, int], prepared: str, most: float
) -> DecodedFiles | None:
    """The file for the images of a folder, if there is room for it.

    Files of other folders are deleted, those first that were not used for the longest time, if all
    together would take more than ``most``.

    Args:
        root: the folder.
        names: of all its images, relative to ``root``.
        shape: (C, H, W) of a decoded image.
        prepared: how images are cropped and resized, in words.
        most: gigabytes that all such files may take; 0 for none.
    """
    if most == 0 or not names or not hasattr(os, "pwrite"):
        return None
    size = len(names) * (int(np.prod(shape)) + _CHECKSUM)
    folder = _folder()
    path = None if folder is None else _path(folder, root, names, shape, prepared)
    if folder is None or path is None:
        return None
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            room = min(round(most * 1e9), free * _FREE)
            told = (
                f"{len(names):,} decoded images of {printable(root)} take {size / 1e9:,.2f} GB in"
                f" {folder}"
            )
            if size > room:
                rank_zero_info(
                    f"{told}, where data.cache={most:g} and {free / 1e9:,.1f} GB free leave"
                    f" {room / 1e9:,.2f}: they are decoded again in each epoch"
                )
                return None
            _make_room(folder, size, most)
            rank_zero_info(f"{told}, from which later epochs read them (data.cache=0 for none)")
        found = DecodedFiles(path, len(names), shape)
        os.utime(path)
    # without it, nothing changes but the time
    except (OSError, ValueError) as error:
        rank_zero_info(f"decoded images are not stored in {folder}: {reason(error)}")
        return None
    return found


def _folder() -> Path | None:
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache, "lightning_gans", "decoded")


def _path(
    folder: Path, root: Path, names: Sequence[str], shape: tuple[int, ...], prepared: str
) -> Path | None:
    """The file of exactly these images; None if one of them cannot be looked at."""
    # another version of Pillow may decode or resize to other pixels
    state = hashlib.sha256(f"{_FORMAT} {PIL.__version__} {shape} {prepared}".encode())
    for name in names:
        try:
            stat = (root / name).stat()
        except OSError:
            return None
        identity = f"\0{name}\0{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
        state.update(identity.encode(errors="surrogateescape"))
    return folder / f"{state.hexdigest()[:32]}.pixels"


def _make_room(folder: Path, size: int, most: float) -> None:
    """Delete the files that were not used for the longest time, until another one has room."""
    found = sorted((path.stat().st_mtime, path) for path in folder.glob("*.pixels"))
    taken = sum(path.stat().st_size for _, path in found)
    for _, path in found:
        if taken + size <= round(most * 1e9):
            return
        taken -= path.stat().st_size
        path.unlink()


def _checksum(content: bytes | bytearray) -> bytes:
    # never zeros, which mean that there is no image
    return (zlib.crc32(content) or 1).to_bytes(_CHECKSUM, "little")


def _write_all(file: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(file, content, offset)
        content, offset = content[written:], offset + written
