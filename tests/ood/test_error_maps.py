"""Maps of the error of reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.ood.error_maps import error_maps, sheet


def test_a_map_is_highest_where_the_reconstruction_differs() -> None:
    x = torch.zeros(2, 3, 64, 64)
    y = x.clone()
    y[0, :, 10:14, 40:44] = 1
    y[1, 0] = 0.3  # one channel, everywhere
    maps = error_maps(x, y)
    assert maps.shape == (2, 64, 64)
    row, column = divmod(int(maps[0].argmax()), 64)
    assert 10 <= row < 14
    assert 40 <= column < 44
    assert float(maps[0, 40:, :30].max()) < 1e-6
    assert maps[0, 12, 36] > 0.001, "it is smoothed"
    assert float(maps[0].mean()) == pytest.approx(16 / 64**2)
    assert torch.allclose(maps[1], torch.full((64, 64), 0.1, dtype=torch.float64))


def test_the_map_on_the_sheet_is_bright_at_the_error(tmp_path: Path) -> None:
    x = torch.zeros(1, 1, 32, 32)
    drawn = []
    for first in (2, 24):
        y = x.clone()
        y[:, :, first : first + 6, first : first + 6] = 1
        sheet(x, y, ["a $file_1$\n3   p 0.1"], tmp_path / "maps.png")
        pixels = np.asarray(Image.open(tmp_path / "maps.png").convert("L")).astype(float)
        drawn.append(pixels[:, 2 * pixels.shape[1] // 3 :])
    difference = drawn[0] - drawn[1]
    early, late = (np.argwhere(sign * difference > 50).mean(0) for sign in (1, -1))
    assert (late - early > 40).all(), "down and to the right"
