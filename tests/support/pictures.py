"""Folders of random pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image


def draw(folder: Path, count: int, side: int, seed: int = 0) -> Path:
    """Random grey images, called 00.png and so on."""
    random = torch.Generator().manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = torch.randint(0, 256, (side, side), generator=random).to(torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{index:02}.png")
    return folder
