"""Checks which image files can be decoded; every file is decoded once, and the result cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import PIL
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lightning_gans.data.images import Crop, Exhausted, crop_box, image_size, why_unreadable
from lightning_gans.errors import UserError
from lightning_gans.files import open_file
from lightning_gans.text import printable

Size = tuple[int, int]


class UnreadableImages(UserError, ValueError):
    """Image files that cannot be decoded; the message names the first ten."""


def usable_sides(
    root: Path, names: Sequence[str], crop: Crop, on_error: Literal["error", "skip"]
) -> list[int]:
    """The shorter side of each image as it is cropped, in pixels; 0 if it cannot be used.

    Args:
        root: the folder.
        names: of the images, relative to ``root``.
        crop: the part of each that will be kept.
        on_error: "error" raises if any cannot be used; "skip" warns once.

    Raises:
        UnreadableImages: if an image cannot be used and ``on_error`` is "error".
    """
    reasons: dict[str, str] = {}
    sides = [0] * len(names)
    for i, found in enumerate(check_readable(root, names)):
        if isinstance(found, str):
            reasons[names[i]] = found
            continue
        try:
            left, top, right, bottom = crop_box(found, crop)
        except ValueError as error:
            reasons[names[i]] = str(error)
        else:
            sides[i] = min(right - left, bottom - top)
    if reasons:
        first = ", ".join(f"{name} ({why})" for name, why in list(reasons.items())[:10])
        rest = f" and {len(reasons) - 10:,} more" if len(reasons) > 10 else ""
        message = f"{len(reasons):,} of {len(names):,} images in {root} cannot be used: "
        message += first + rest
        if on_error == "error":
            raise UnreadableImages(
                f"{message}; repair or delete them, or leave them out with data.on_error=skip"
            )
        rank_zero_warn(printable(f"{message}; they are left out"))
    return sides


def check_readable(root: Path, names: Sequence[str]) -> list[Size | str]:
    """For each image its (width, height) in pixels, or the reason why it cannot be decoded.

    A file that was readable before, and has the same name, size and time, is not decoded again. An
    unreadable one is tried again, since the reason may be gone (permissions, a network folder).

    Args:
        root: the folder.
        names: of the images, relative to ``root``.

    Raises:
        Exhausted: if the machine lacks memory or open files, which says nothing about an image.
    """
    cache = _cache_file(root, names)
    sizes = _load(cache, len(names))
    unknown = [i for i, size in enumerate(sizes) if size is None]
    found: list[Size | str] = [size or "" for size in sizes]
    if unknown:
        if len(unknown) > 1000:
            rank_zero_info(
                f"Checking that {len(unknown):,} images in {printable(root)} can be decoded, once"
            )
        with ThreadPoolExecutor() as pool:
            try:
                results = pool.map(_size, [root / names[i] for i in unknown])
                for i, result in zip(unknown, results, strict=True):
                    found[i] = result
            finally:
                # after an error or Ctrl-C, thousands of files may be left to decode
                pool.shutdown(cancel_futures=True)
        if any(not isinstance(found[i], str) for i in unknown):
            _store(cache, found)
    return found


def _size(path: Path) -> Size | str:
    try:
        return image_size(path)
    except Exhausted:
        raise
    # Pillow raises almost anything for damaged files: SyntaxError, struct.error, ...
    except Exception as error:
        return why_unreadable(path, error)


def _cache_file(root: Path, names: Sequence[str]) -> Path | None:
    """The cache file of exactly these images; None if there is no place for it."""
    # another version of Pillow may read other files
    state = hashlib.sha256(f"2 {PIL.__version__}".encode())
    for name in names:
        try:
            stat = (root / name).stat()
        except OSError:
            return None
        state.update(
            f"\0{name}\0{stat.st_size} {stat.st_mtime_ns}".encode(errors="surrogateescape")
        )
    try:
        folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(folder, "lightning_gans", f"images-{state.hexdigest()[:32]}.json")


def _load(cache: Path | None, count: int) -> list[Size | None]:
    nothing: list[Size | None] = [None] * count
    if cache is None:
        return nothing
    try:
        with open_file(cache) as file:
            stored = json.loads(file.read().decode("ascii"))
        sizes = [None if size is None else (int(size[0]), int(size[1])) for size in stored]
    # no cache file, or a damaged one: decode again
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return nothing
    return sizes if len(sizes) == count else nothing


def _store(cache: Path | None, found: Sequence[Size | str]) -> None:
    if cache is None:
        return
    sizes = [None if isinstance(size, str) else size for size in found]
    # without the cache, the next start takes longer, and nothing else changes
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=cache.parent, suffix=".draft")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(sizes, file)
            # atomic: no other process reads half of it
            Path(draft).replace(cache)
        except OSError:
            Path(draft).unlink(missing_ok=True)
