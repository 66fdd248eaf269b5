"""Images a second that the data arrive at: digits in memory, and a folder of PNG files.

python -m benchmarks.loaders --json loaders.json
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from benchmarks.measuring import Figure, Quiet, table, write_figures
from lightning_gans.data import DataModule, Folder, MNIST5k

SIDE = 64


def draw(folder: Path, count: int) -> None:
    """Random pictures, smooth as photographs are, since noise takes longer to decode."""
    random = torch.Generator().manual_seed(0)
    for number in range(count):
        coarse = torch.randint(0, 256, (8, 8, 3), generator=random, dtype=torch.uint8)
        picture = Image.fromarray(coarse.numpy()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05}.png")


def rates(data: DataModule, rounds: int) -> list[float]:
    """Images a second in each epoch after the first, which starts the workers."""
    data.prepare_data()
    data.setup("fit")
    loader, found = data.train_dataloader(), []
    for _ in range(rounds + 1):
        start, images = time.perf_counter(), 0
        for x, _ in loader:
            images += len(x)
        found.append(images / (time.perf_counter() - start))
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1000, help="files in the folder")
    parser.add_argument("--json", help="file to write the figures to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet, figures = Quiet(), list[Figure]()
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name), arguments.images)
        kinds: list[tuple[str, int, DataModule]] = [("digits in memory", 0, MNIST5k())]
        kinds += [
            (f"PNG files of {SIDE}x{SIDE}", n, Folder(name, SIDE, validation=0, workers=n))
            for n in (0, 1, 2)
        ]
        for kind, workers, data in kinds:
            found = rates(data, arguments.rounds)
            figures.append(Figure.of("images", "1/s", found, data=kind, workers=workers))
    print(table(["data", "workers", "images a second"], [[*f.case.values(), f] for f in figures]))
    if arguments.json:
        write_figures(arguments.json, figures, quiet)


if __name__ == "__main__":
    main()
