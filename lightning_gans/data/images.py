"""Image files as tensors: finding, decoding to 8 bits, cropping, resizing, scaling."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.decoded import DecodedFiles
from lightning_gans.data.tensors import Batch, to_signed
from lightning_gans.errors import InputError, UserError, reason
from lightning_gans.files import open_file
from lightning_gans.text import printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

# no other format is decoded, whatever the file's name: some start other programs
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

MAX_PIXELS = 178_956_970
"""The most pixels of an image, which is Pillow's own limit."""
# how many unreadable images a line names
NAMED = 5
LARGE = 40_000_000
"""Of images with more pixels than this, one at a time is decoded on a machine."""
# a large JPEG is decoded at a fraction that leaves so many times the pixels that are needed
_MARGIN = 4
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# how many pixels are converted at once
_STRIP = 4_000_000
# by how many links a folder may be reached
_MOST_LINKS = 100
_PIXELS_IN_FLIGHT = 4 * LARGE


class _Pixels:
    """How many pixels the threads of this process may decode at once; one image always may."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all images; a forked process has none of the threads that decode them."""
        self.taken = 0
        self.changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        with self.changed:
            while self.taken and self.taken + pixels > _PIXELS_IN_FLIGHT:
                self.changed.wait()
            self.taken += pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= pixels
                self.changed.notify_all()


_IN_FLIGHT = _Pixels()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_IN_FLIGHT.reset)
# takes the place of a lock file where there can be none
_THREADS = threading.Lock()
_ORIENTATION = 0x0112
# the EXIF orientations, and how to turn each upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# those which swap the sides
_SWAPPED = (5, 6, 7, 8)

# MAX_PIXELS is checked here; a warning from a thread would be shown once, for some of the files
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Size = tuple[int, int]
_Result = TypeVar("_Result")

Crop = Literal["center", "none"] | tuple[int, int, int, int]
"""The part of an image to keep: the largest centred square, the whole image (squashed to a square),
or all but (left, top, right, bottom) pixels. Data modules refuse negative margins; for
:class:`ImageFiles`, they add black pixels."""


class UnreadableFolder(UserError, OSError):
    """A folder whose content cannot be listed: images in it would be left out."""


class UnreadableImage(InputError):
    """An image file that cannot be decoded when it is needed.

    Attributes:
        why: without the file's name.
    """

    def __init__(self, text: str, why: str | None = None) -> None:
        super().__init__(text)
        self.why = text if why is None else why


class Exhausted(UserError):
    """The machine lacks memory or open files, which says nothing about an image."""


def find_images(root: Path) -> list[str]:
    """Names of all images below ``root``, relative to it, with "/", sorted; links are followed.

    Files and folders whose names start with a dot are left out, and links to a folder that they are
    in.

    Raises:
        UnreadableFolder: if a folder cannot be listed.
    """

    def refuse(error: OSError) -> NoReturn:
        raise UnreadableFolder(
            f"{error.filename} cannot be listed ({reason(OSError(error.strerror))}), and its images"
            f" would be left out; make it readable, or move it out of {root}"
        ) from error

    names: list[str] = []
    visits: Counter[str] = Counter()
    # the folders above each folder, by their real paths
    above: dict[str, frozenset[str]] = {}
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        real, parents = os.path.realpath(folder), above.pop(folder, frozenset())
        # a link to a parent folder would never end
        if real in parents:
            below.clear()
            continue
        visits[real] += 1
        if visits[real] > _MOST_LINKS:
            raise UnreadableFolder(f"{folder} is reached by more than {_MOST_LINKS} links")
        below[:] = sorted(name for name in below if not name.startswith("."))
        above |= {os.path.join(folder, name): parents | {real} for name in below}  # noqa: PTH118
        inside = Path(folder).relative_to(root)
        names += [
            (inside / name).as_posix()
            for name in files
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    return sorted(names)


def open_image(path: str | Path) -> Image.Image:
    """Decode a whole file to mode "L" or "RGB", upright.

    The EXIF orientation is applied, 16-bit grey is scaled to 8 bits (v / 257, rounded), and
    transparent parts become white. Of several frames, it is the first one.

    Raises:
        Exception: whatever the decoder raises for a damaged file.
        ValueError: if the pixels have no known range (32-bit floats or integers), or are too many.
        OSError: if it is not a regular file.
    """
    return _decode(path, lambda image, _: _to_8_bits(image, (0, 0, *image.size)))


def image_size(path: str | Path) -> Size:
    """The (width, height) of an image that :func:`open_image` can decode.

    Raises:
        Exception: as that.
    """

    def check(image: Image.Image, size: Size) -> Size:
        # whether colours can be converted does not depend on the pixel
        _to_8_bits(image, (0, 0, 1, 1))
        return size

    # all of the file is read, but a large JPEG is not kept at its size
    return _decode(path, check, 1)


def declared_size(path: str | Path) -> Size:
    """The (width, height) that a file says it has, before it is turned; nothing is decoded.

    Raises:
        Exception: if it is no image, or not a regular file.
        ValueError: if it has too many pixels.
    """
    with open_file(path) as content:
        size = _webp_size(content.read(30)) or _pillow_size(content)
    _is_large(size)
    return size


def read_pixels(path: str | Path, resolution: int, channels: Literal[1, 3], crop: Crop) -> Tensor:
    """A file as a model of images sees it, (channels, resolution, resolution) uint8.

    Args:
        path: of the file.
        resolution: height and width after resizing (cubic, antialiased), in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: the part that is kept before resizing.

    Raises:
        Exception: as :func:`open_image`.
        ValueError: if the crop leaves nothing.
    """

    def prepare(image: Image.Image, _: Size) -> Image.Image:
        # cropped first, because resizing with a box uses pixels outside of it
        part = _to_8_bits(image, crop_box(image.size, crop), "L" if channels == 1 else "RGB")
        return part.resize((resolution, resolution), Image.Resampling.BICUBIC)

    image = _decode(path, prepare, _MARGIN * resolution if isinstance(crop, str) else None)
    pixels = torch.from_numpy(np.array(image))
    return pixels.view(resolution, resolution, channels).permute(2, 0, 1)


def check_geometry(resolution: int, crop: Crop) -> None:
    """Refuse a resolution or margins that are valid for no image.

    Raises:
        ValueError: if ``resolution`` is below 1, or a margin is negative.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, got {resolution}")
    if isinstance(crop, str):
        if crop not in {"center", "none"}:
            raise ValueError(f'crop must be "center", "none" or four margins, got "{crop}"')
    elif len(crop) != 4 or min(crop) < 0:
        raise ValueError(
            f"crop margins must be (left, top, right, bottom), all at least 0, got {tuple(crop)}"
        )


def crop_box(size: tuple[int, int], crop: Crop) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) that ``crop`` keeps of an image of (width, height).

    >>> crop_box((6, 3), "center")
    (1, 0, 4, 3)

    Raises:
        ValueError: if nothing is left.
    """
    width, height = size
    if crop == "none":
        return 0, 0, width, height
    if crop == "center":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    left, top, right, bottom = crop
    if left + right >= width or top + bottom >= height:
        raise ValueError(f"crop {tuple(crop)} leaves nothing of {width} x {height} pixels")
    return left, top, width - right, height - bottom


def why_unreadable(path: str | Path, error: Exception) -> str:
    """Why an image could not be decoded, in a few words without the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # Pillow names the opened file, which has no name of its own
    text = re.sub(r" <_io\.\w+ [^>]*>", "", reason(error))
    return text.removeprefix(f"{printable(path)} is ")


def unreadable(reasons: Mapping[str, str]) -> str:
    """A line on the images that could not be read, the first of them by name with the reason.

    >>> unreadable({"a.png": "it is empty"})
    '1 image could not be read: a.png (it is empty)'
    """
    first = [f"{name} ({why})" for name, why in list(reasons.items())[:NAMED]]
    more = f" and {len(reasons) - NAMED:,} more" if len(reasons) > NAMED else ""
    images = f"{len(reasons):,} image{'s' if len(reasons) > 1 else ''}"
    return printable(f"{images} could not be read: {', '.join(first)}{more}")


class ImageFiles(Dataset[Batch]):
    """Images that are decoded from their files on each access; float32 in [-1, 1].

    Args:
        paths: the files.
        labels: (n,) or (n, attributes), int64.
        resolution: height and width after resizing (cubic, antialiased), in pixels.
        channels: 1 (grey) or 3 (RGB).
        crop: the part that is kept before resizing.
        decoded: where their pixels are stored once they are decoded, if anywhere.
        rows: (n,), the place of each image there.
    """

    def __init__(
        self,
        paths: Sequence[str],
        labels: Tensor,
        *,
        resolution: int,
        channels: Literal[1, 3] = 3,
        crop: Crop = "center",
        decoded: DecodedFiles | None = None,
        rows: Sequence[int] | None = None,
    ) -> None:
        if len(paths) != len(labels):
            raise ValueError(f"{len(paths)} images but {len(labels)} labels")
        self.paths = paths
        self.labels = labels
        self.resolution = resolution
        self.channels = channels
        self.crop = crop
        # which do not decide what these images are
        self._decoded, self._rows = decoded, range(len(paths)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        return to_signed(self._pixels(index)), self.labels[index]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch, scaled at once."""
        pixels = torch.stack([self._pixels(index) for index in indices])
        return to_signed(pixels), self.labels[torch.as_tensor(indices)]

    def _pixels(self, index: int) -> Tensor:
        if self._decoded is None:
            return self._decode(index)
        row = self._rows[index]
        pixels = self._decoded.read(row)
        if pixels is None:
            pixels = self._decode(index)
            self._decoded.write(row, pixels)
        return pixels

    def _decode(self, index: int) -> Tensor:
        path = self.paths[index]
        try:
            return read_pixels(path, self.resolution, self.channels, self.crop)
        except Exhausted:
            raise
        # Pillow raises almost anything for damaged files: SyntaxError, struct.error, ...
        except Exception as error:
            why = why_unreadable(path, error)
            raise UnreadableImage(f"{path} cannot be read: {why}", why) from error


def _decode(
    path: str | Path, finish: Callable[[Image.Image, Size], _Result], enough: int | None = None
) -> _Result:
    """What a function makes of a decoded image, before another large one is decoded.

    Args:
        path: of the file.
        finish: gets the image upright, in its own mode, and its (width, height).
        enough: pixels for each side; a large JPEG may come at an eighth of its size or more, as
            long as it has them. None for the whole size.

    Raises:
        Exhausted: if the machine is, and not the file to blame.
    """
    try:
        return _decode_in_turn(path, finish, enough)
    except Exception as error:
        if (
            isinstance(error, MemoryError)
            or (isinstance(error, OSError) and error.errno in _EXHAUSTED)
            or "out of memory" in str(error)
        ):
            raise Exhausted(f"{path} cannot be decoded on this machine: {reason(error)}") from error
        raise


def _decode_in_turn(
    path: str | Path, finish: Callable[[Image.Image, Size], _Result], enough: int | None
) -> _Result:
    with open_file(path) as content:
        # the decoder of WebP takes memory for all pixels as soon as it is opened
        size = _webp_size(content.read(30))
        content.seek(0)
        if size is None:
            with Image.open(content, formats=FORMATS) as file:
                if not _is_large(file.size):
                    with _IN_FLIGHT.take(file.width * file.height):
                        return _finish(file, file.size, finish)
        elif not _is_large(size):
            with _IN_FLIGHT.take(size[0] * size[1]):
                return _decode_now(content, finish, None)
        with _alone():
            return _decode_now(content, finish, enough)


def _pillow_size(content: BinaryIO) -> Size:
    content.seek(0)
    with Image.open(content, formats=FORMATS) as file:
        return file.size


def _decode_now(
    content: BinaryIO, finish: Callable[[Image.Image, Size], _Result], enough: int | None
) -> _Result:
    """As :func:`_decode`; a function, at whose end the memory of the pixels is free."""
    content.seek(0)
    with Image.open(content, formats=FORMATS) as file:
        size = file.size
        if enough is not None:
            file.draft(None, (enough, enough))
        return _finish(file, size, finish)


def _finish(
    file: Image.Image, size: Size, finish: Callable[[Image.Image, Size], _Result]
) -> _Result:
    """Load an image whose whole size is known, and turn it upright."""
    # of PNG and PGM, this mode has 16 bits
    if file.mode == "I" and file.format == "TIFF":
        raise ValueError("pixels are signed or 32-bit integers, whose range is unknown")
    file.load()
    orientation = _orientation(file)
    image = file.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else file
    return finish(image, size[::-1] if orientation in _SWAPPED else size)


def _is_large(size: Size) -> bool:
    """Whether an image is decoded alone.

    Raises:
        ValueError: if it has no pixels, or too many.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width:,} x {height:,} pixels are more than {MAX_PIXELS:,}")
    return width * height > LARGE


def _webp_size(header: bytes) -> Size | None:
    """The (width, height) in the first 30 bytes of a WebP file; None for other files."""
    if len(header) < 30 or header[:4] != b"RIFF" or header[8:12] != b"WEBP":
        return None
    kind = header[12:16]
    if kind == b"VP8X":
        numbers = struct.unpack("<HBHB", header[24:30])
        return 1 + numbers[0] + (numbers[1] << 16), 1 + numbers[2] + (numbers[3] << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", header[21:25])
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", header[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _orientation(file: Image.Image) -> int:
    """The EXIF orientation; 1, upright, if it cannot be read."""
    # pixels are not damaged by damaged notes about them, in which Pillow raises anything
    with suppress(Exception):
        return int(file.getexif().get(_ORIENTATION, 1))
    return 1


def _to_8_bits(
    image: Image.Image, box: tuple[int, int, int, int], mode: str | None = None
) -> Image.Image:
    """A part of an image as "L" or "RGB", converted a few rows at a time.

    Args:
        image: in any mode.
        box: the part; what is beyond the image is black.
        mode: of the result; by default "L" for grey images, "RGB" for others.

    Raises:
        ValueError: if the pixels have no known range.
    """
    convert, own = _conversion(image)
    mode = own if mode is None else mode
    left, top, right, bottom = box
    if min(left, top) < 0 or right > image.width or bottom > image.height:
        return _to_8_bits(image, (0, 0, *image.size), mode).crop(box)
    if image.mode == mode and convert is _unchanged and box == (0, 0, *image.size):
        return image
    result = Image.new(mode, (right - left, bottom - top))
    rows = max(1, _STRIP // (right - left))
    for y in range(top, bottom, rows):
        strip = image.crop((left, y, right, min(y + rows, bottom)))
        result.paste(convert(strip).convert(mode), (0, y - top))
    return result


def _conversion(image: Image.Image) -> tuple[Callable[[Image.Image], Image.Image], str]:
    """How to convert an image to 8 bits, and the mode that it then has.

    Raises:
        ValueError: if its pixels have no known range.
    """
    if image.mode == "F":
        raise ValueError("pixels are 32-bit floats, whose range is unknown")
    if image.mode.startswith("I"):
        return _sixteen_to_8_bits, "L"
    if image.has_transparency_data:
        return _on_white, "RGB"
    if image.mode in ("L", "RGB"):
        return _unchanged, image.mode
    return lambda part: part.convert("RGB"), "RGB"


def _unchanged(image: Image.Image) -> Image.Image:
    return image


def _sixteen_to_8_bits(image: Image.Image) -> Image.Image:
    # Pillow's own conversion clips at 255 instead of scaling
    grey = np.asarray(image).astype(np.int64)
    return Image.fromarray(((grey + 128) // 257).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other thread or process of this user decodes a large image on this machine."""
    file = _lock_file()
    try:
        if file is None:
            _THREADS.acquire()
        else:
            # released when the file is closed, also by a kill
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        _return_memory()
        if file is None:
            _THREADS.release()
        else:
            os.close(file)


def _return_memory() -> None:
    """Give freed memory back to the system, which glibc keeps for each thread apart."""
    with suppress(AttributeError, OSError, TypeError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)


def _lock_file() -> int | None:
    """A file of this user in the folder of temporary files, opened; None if there cannot be one."""
    if fcntl is None:
        return None
    path = Path(tempfile.gettempdir(), f"lightning_gans-large-image-{os.getuid()}")
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    # anybody can put a file there, and hold its lock for ever
    if os.fstat(file).st_uid != os.getuid():
        os.close(file)
        return None
    return file
