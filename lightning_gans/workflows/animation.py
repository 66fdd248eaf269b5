"""Animations: GIF through Pillow, MP4 through ffmpeg."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.spatial import cKDTree

from lightning_gans.errors import UserError, reason
from lightning_gans.runs.atomic import replacing

# of a GIF
COLOURS = 256
# how many pixels the colours of a GIF are chosen by
SAMPLE = 500_000


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Frames, and then those between the ends backwards: repeated, they have no jump.

    >>> there_and_back("abcd")
    ['a', 'b', 'c', 'd', 'c', 'b']
    """
    return [*frames, *frames[-2:0:-1]]


def write_gif(
    path: Path, frames: Sequence[Image.Image], fps: float, ping_pong: bool = True
) -> None:
    """Write an animation that repeats for ever, as a whole or not at all.

    All frames have the same colours: with its own for each, what does not move would flicker.

    Args:
        path: of the file.
        frames: of one size, grey or RGB, at least one.
        fps: frames a second.
        ping_pong: whether the frames between the ends follow backwards.

    Raises:
        Unwritable: if the operating system does not let the file be written.
    """
    indexed = with_palette(frames)
    indexed = there_and_back(indexed) if ping_pong else indexed
    with replacing(path) as new:
        indexed[0].save(
            new,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=round(1000 / fps),
            loop=0,
            optimize=False,  # which would drop colours of frames other than the first
        )


def with_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Frames with one palette: of all their colours, or of the 256 that suit them best.

    Each pixel gets the nearest colour. Dithering would hide steps of colour in large frames; the
    pixels of small ones, enlarged, it makes visible.
    """
    codes = [rgb_codes(frame) for frame in frames]
    found = np.unique(np.concatenate([np.unique(each) for each in codes]))
    colours = np.stack([found >> shift & 255 for shift in (16, 8, 0)], 1).astype(np.uint8)
    nearest = np.arange(len(colours))
    if len(colours) > COLOURS:
        total = sum(each.size for each in codes)
        pixels = np.concatenate([np.asarray(f.convert("RGB")).reshape(-1, 3) for f in frames])
        chosen = Image.fromarray(pixels[:: max(1, total // SAMPLE)][None])
        suited = chosen.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=1).getpalette()
        palette = np.array(suited, dtype=np.uint8).reshape(-1, 3)
        # Pillow's own search is for roughly the nearest
        nearest = np.asarray(cKDTree(palette).query(colours)[1])
        colours = palette
    indexed = []
    for each in codes:
        index = nearest[np.searchsorted(found, each)]
        image = Image.fromarray(index.astype(np.uint8))
        image.putpalette(colours.flatten().tolist())
        indexed.append(image)
    return indexed


def rgb_codes(frame: Image.Image) -> npt.NDArray[np.uint32]:
    """The colour of each pixel as one number, (height, width)."""
    pixels = np.asarray(frame.convert("RGB")).astype(np.uint32)
    return pixels @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)


def ffmpeg() -> Any:
    """The package that brings ffmpeg, which is optional.

    Raises:
        UserError: if it is not installed.
    """
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise UserError(
            "format=mp4 needs imageio-ffmpeg; install it with pip install 'lightning_gans[video]', "
            "or give format=gif"
        ) from error


def write_mp4(
    path: Path, frames: Sequence[Image.Image], fps: float, ping_pong: bool = True
) -> None:
    """Write a film in H.264, as a whole or not at all.

    Args:
        path: of the file.
        frames: of one size, grey or RGB, at least one.
        fps: frames a second.
        ping_pong: whether the frames between the ends follow backwards.

    Raises:
        UserError: if ffmpeg is missing, or fails.
        Unwritable: if the operating system does not let the file be written.
    """
    encoder = ffmpeg()
    # what players show has even sides
    width, height = (side + side % 2 for side in frames[0].size)
    with replacing(path) as new:
        # ffmpeg knows a format by the name of its file
        part = new.with_suffix(".part.mp4")
        try:
            film = encoder.write_frames(
                str(part),
                (width, height),
                fps=fps,
                quality=8,
                macro_block_size=2,
                ffmpeg_log_level="error",
            )
            film.send(None)
            for frame in there_and_back(frames) if ping_pong else frames:
                canvas = Image.new("RGB", (width, height), "white")
                canvas.paste(frame)
                film.send(canvas.tobytes())
            film.close()
            part.replace(new)
        # what ffmpeg says
        except (OSError, RuntimeError) as error:
            raise UserError(f"ffmpeg could not write {path}: {reason(error):.200}") from error
        finally:
            part.unlink(missing_ok=True)
