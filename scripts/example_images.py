"""Make a folder of colour images, on which the documentation trains models of one's own images.

    python -m scripts.example_images shapes photos --images 600 --size 64
    python -m scripts.example_images patches photos --images 600 --size 64    (needs '.[dev]')

``shapes`` draws a circle, a square, a triangle or a star on a background that changes from one
colour to another, each kind into a folder of its own. ``patches`` cuts squares from the photographs
that scikit-image and scikit-learn bring; they overlap, so that a held-out patch shows things that a
trained one shows too. The same options make the same images.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# shapes are drawn this large and made smaller, which smooths their edges
CANVAS = 256
KINDS = ("circle", "square", "triangle", "star")
# those of scikit-image that show a scene in colour
PHOTOGRAPHS = (
    "astronaut",
    "coffee",
    "chelsea",
    "rocket",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
)
SMALLEST_PATCH = 128


def polygon(
    centre: tuple[float, float], radii: Sequence[float], rotation: float
) -> list[tuple[float, float]]:
    """Corners at equal angles, the first above the centre before the rotation in radians."""
    x, y = centre
    angles = [rotation + 2 * math.pi * i / len(radii) for i in range(len(radii))]
    return [
        (x + radius * math.sin(angle), y - radius * math.cos(angle))
        for radius, angle in zip(radii, angles, strict=True)
    ]


def draw_shape(rng: np.random.Generator) -> tuple[str, Image.Image]:
    """One of the kinds at a random place, size, rotation and colour."""
    first, last = rng.integers(30, 226, (2, 3))
    along = np.linspace(0, 1, CANVAS)[:, None, None]
    background = (first * (1 - along) + last * along).repeat(CANVAS, axis=1)
    if rng.random() < 0.5:
        background = background.transpose(1, 0, 2)
    image = Image.fromarray(background.astype(np.uint8))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    radius = rng.uniform(50, 90)
    x, y = rng.uniform(100, 156, 2)
    rotation = rng.uniform(-0.6, 0.6)
    kind = KINDS[int(rng.integers(len(KINDS)))]
    draw = ImageDraw.Draw(image)
    if kind == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        # about the area of the circle
        radii = {
            "square": [1.1 * radius] * 4,
            "triangle": [1.15 * radius] * 3,
            "star": [1.2 * radius, 0.54 * radius] * 5,
        }[kind]
        turned = rotation + math.pi / 4 if kind == "square" else rotation
        draw.polygon(polygon((x, y), radii, turned), fill=colour)
    return kind, image


def photographs() -> list[NDArray[np.uint8]]:
    """Photographs of shape (height, width, 3)."""
    # shapes are drawn without them
    import skimage.data  # noqa: PLC0415
    from sklearn.datasets import load_sample_images  # noqa: PLC0415

    bundled = [getattr(skimage.data, name)()[..., :3] for name in PHOTOGRAPHS]
    photos: list[NDArray[np.uint8]] = [*bundled, *load_sample_images().images]
    return photos


def cut_patch(photos: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> Image.Image:
    """A square of at most half the shorter side, from a random place of a random photograph."""
    photo = photos[int(rng.integers(len(photos)))]
    height, width = photo.shape[:2]
    side = int(rng.integers(SMALLEST_PATCH, max(min(height, width) // 2, SMALLEST_PATCH) + 1))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return Image.fromarray(photo[top : top + side, left : left + side])


def write(kind: str, folder: Path, images: int, size: int, seed: int) -> None:
    """Write a set of images, each as ``[CLASS/]NUMBER.png``."""
    rng = np.random.default_rng(seed)
    photos = photographs() if kind == "patches" else []
    for number in range(images):
        name, image = draw_shape(rng) if kind == "shapes" else ("", cut_patch(photos, rng))
        (folder / name).mkdir(parents=True, exist_ok=True)
        small = image.resize((size, size), Image.Resampling.LANCZOS)
        small.save(folder / name / f"{number:05d}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the set that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=("shapes", "patches"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--size", type=int, default=64, help="of a side, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.folder.exists():
        parser.error(f"{options.folder} exists: name a new folder")
    write(options.kind, options.folder, options.images, options.size, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
