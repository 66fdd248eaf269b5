"""Maps of the error of reconstructions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lightning_gans.ood import error_maps as module
from lightning_gans.ood.conformal import Verdicts
from lightning_gans.ood.error_maps import draw_maps, error_maps, sheet
from lightning_gans.ood.folder_images import FolderImages, PreparedImages
from lightning_gans.ood.score_report import Results
from lightning_gans.priors import Normal


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


@pytest.mark.figures
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


def test_the_smoothing_of_a_rectangle_follows_its_shorter_side() -> None:
    for height, width in ((64, 32), (32, 64)):
        x = torch.zeros(1, 1, height, width)
        y = x.clone()
        y[0, 0, 16, 16] = 1
        found = error_maps(x, y)[0]
        # a Gaussian with σ = 1 pixel
        for row, column in ((16, 17), (17, 16)):
            assert float(found[row, column] / found[16, 16]) == pytest.approx(math.exp(-0.5))


class Halves(nn.Module):
    """A model whose reconstruction is half the image, of batches that it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.prior = Normal(2)
        self.sizes: list[int] = []

    def reconstruct(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return x / 2


def test_the_most_anomalous_images_are_drawn_with_their_own_names_and_reconstructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 70
    for i in range(count):
        Image.new("L", (8, 8), 3 * i).save(tmp_path / f"{i:02}.png")
    names = [f"{i:02}.png" for i in range(count)]
    paths = [str(tmp_path / name) for name in names if name != "05.png"]
    images = FolderImages(names, {"05.png": "damaged"}, PreparedImages(paths, 8, 1, "center"))
    # image i has the score (7 i) mod 71
    scores = torch.tensor([7.0 * i % 71 for i in range(count) if i != 5])
    verdicts = Verdicts(scores, 1 / (1 + scores), scores > 60)
    results = Results({"nll": scores}, verdicts)
    order = sorted((i for i in range(count) if i != 5), key=lambda i: -(7 * i % 71))
    (tmp_path / f"{order[2]:02}.png").unlink()
    drawn: list[tuple[Tensor, Tensor, list[str]]] = []
    monkeypatch.setattr(module, "sheet", lambda x, y, labels, _: drawn.append((x, y, labels)))
    model = Halves()
    lost = draw_maps(tmp_path / "maps.png", model, images, results, 60)  # type: ignore[arg-type]
    assert list(lost) == [f"{order[2]:02}.png"]
    expected = [i for i in order[:60] if i != order[2]]
    ((x, y, labels),) = drawn
    torch.testing.assert_close(x[:, 0, 0, 0], torch.tensor(expected) * 3 / 127.5 - 1)
    torch.testing.assert_close(y, x / 2)
    assert sum(model.sizes) == 59
    assert max(model.sizes) < 59
    assert [label.split()[0] for label in labels] == [f"{i:02}.png" for i in expected]
    for i, label in zip(expected, labels, strict=True):
        score = 7 * i % 71
        assert label.split()[1:] == [f"{score:.4g}", "p", f"{1 / (1 + score):.2g}"]


@pytest.mark.figures
def test_rows_of_the_sheet_have_image_reconstruction_and_map_on_one_scale(tmp_path: Path) -> None:
    x = torch.full((2, 1, 32, 32), -1.0)
    y = torch.stack([torch.full((1, 32, 32), 1.0), torch.full((1, 32, 32), -0.8)])
    sheet(x, y, ["large", "small"], tmp_path / "maps.png")
    pixels = np.asarray(Image.open(tmp_path / "maps.png").convert("L")).astype(float)
    height, width = pixels.shape
    row, above, below = (100 * part for part in (module.HEIGHT, module.ABOVE, module.BELOW))
    assert height == pytest.approx(2 * row + above + below, abs=1)

    def shown(at: int, column: int) -> float:
        """The brightness in the middle of a picture."""
        top, left = int(above + row * (at + 0.5)), int(width * (0.02 + 0.32 * (column + 0.5)))
        return float(pixels[top - 5 : top + 5, left - 5 : left + 5].mean())

    assert shown(0, 0) == shown(1, 0) == 0
    assert shown(0, 1) == 255
    assert shown(1, 1) == pytest.approx(25.5, abs=1)
    assert shown(0, 2) > 200, "the largest error"
    assert shown(1, 2) < 40, "a tenth of it"
