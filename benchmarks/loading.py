"""What reading images takes: one core decoding files, and the lists that a large folder needs.

python -m benchmarks.loading
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.measuring import Figure, Quiet, digits, table, write_figures
from lightning_gans.data import Folder
from lightning_gans.data.images import image_size
from lightning_gans.data.mnist5k import MNIST5k
from lightning_gans.data.sampling import EpochShuffle

SIDES = (64, 256, 1024)
FORMATS = ("png", "jpg")
SHUFFLED = 1_000_000


def photograph(side: int, seed: int) -> Image.Image:
    """An image that compresses about as a photograph does: smooth shapes, and a little noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (8, 8, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    noisy = smooth + generator.normal(0, 4, (side, side, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    quiet, found = Quiet(), list[Figure]()
    with tempfile.TemporaryDirectory() as place:
        for side in SIDES:
            for kind in FORMATS:
                folder = Path(place, f"{side}{kind}")
                folder.mkdir()
                count = max(2, 200_000 // side**2)
                for i in range(count + 1):
                    photograph(side, i).save(folder / f"{i:03}.{kind}", quality=95)
                found += files(folder, side, kind, given.rounds)
    found += lists(given.rounds)
    print("\n".join(shown(found)))
    if given.json:
        write_figures(given.json, found, quiet)


def files(folder: Path, side: int, kind: str, rounds: int) -> list[Figure]:
    """Images a second, as batches and as the check before the first training."""
    data = Folder(str(folder), side, validation=1)
    data.setup("fit")
    paths = sorted(folder.iterdir())[:-1]
    indices = list(range(len(paths)))
    batches, checks = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        data.train_set.__getitems__(indices)  # type: ignore[attr-defined]  # of ImageFiles
        batches.append(len(paths) / (time.perf_counter() - start))
        start = time.perf_counter()
        for path in paths:
            image_size(path)
        checks.append(len(paths) / (time.perf_counter() - start))
    size = sum(path.stat().st_size for path in paths) / len(paths)
    case: dict[str, Any] = {"side": side, "format": kind}
    return [
        Figure.of("loading files", "images/s", batches[1:], **case),
        Figure.of("checking files", "images/s", checks[1:], **case),
        Figure.of("file", "bytes", [size], **case),
    ]


def lists(rounds: int) -> list[Figure]:
    """Digits in memory, the order of an epoch, and the names of files."""
    digits5k = MNIST5k()
    digits5k.setup("fit")
    memory, orders = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        seen = sum(len(x) for x, _ in digits5k.train_dataloader())
        memory.append(seen / (time.perf_counter() - start))
        start = time.perf_counter()
        next(iter(EpochShuffle(SHUFFLED)))
        orders.append(1e9 * (time.perf_counter() - start) / SHUFFLED)
    order = torch.randperm(SHUFFLED).tolist()
    held = (sys.getsizeof(order) + sum(map(sys.getsizeof, order))) / SHUFFLED
    # an order is a list of numbers, of which a part is copied for this process
    name = sys.getsizeof("/a/folder/of/many/images/00012/00012345.png") + 8
    return [
        Figure.of("digits in memory", "images/s", memory[1:]),
        Figure.of("order of an epoch", "ns an image", orders[1:]),
        Figure.of("order of an epoch, memory", "bytes an image", [held]),
        Figure.of("name of a file, memory", "bytes an image", [float(name)]),
    ]


def shown(found: list[Figure]) -> list[str]:
    """The table of these figures, in Markdown."""
    rows = [
        [
            f"{f.name}{''.join(f', {v}' for v in f.case.values())}",
            f.unit,
            f if f.rounds > 1 else digits(f.median),
        ]
        for f in found
    ]
    return [table(["data, one thread", "", "median (lowest to highest)"], rows)]


if __name__ == "__main__":
    main()
