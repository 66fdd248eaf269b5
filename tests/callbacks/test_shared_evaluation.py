"""What is measured does not depend on how many processes measure it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.callbacks import EMA, Evaluation
from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.data import DataModule, Gaussians
from lightning_gans.data.tensors import TensorImages
from lightning_gans.distributed.strategy import GANDDP
from lightning_gans.models import CAGAN, DLSGAN, GAN, Model
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.priors import Categorical, Normal
from tests.support.features import Pixels
from tests.support.processes import several
from tests.support.training import Watch, trainer

SHAPE = (1, 16, 16)
IMAGES = 43


class Corner(Pixels):
    """The features of a corner of larger images."""

    def _extract(self, images: Tensor) -> Tensor:
        return super()._extract(images[..., :4, :4])


class Noise(DataModule):
    """Images of noise, of two classes."""

    image_shape = SHAPE
    classes = (2,)

    def setup(self, stage: str | None = None) -> None:
        random = torch.Generator().manual_seed(1)
        x = torch.randint(256, (IMAGES, *SHAPE), generator=random, dtype=torch.uint8)
        self.train_set = self.validation_set = TensorImages(x, torch.arange(IMAGES) % 2)


def dlsgan() -> Model:
    return DLSGAN(SHAPE, 5)


def cagan() -> Model:
    return CAGAN(SHAPE, (2,), 5)


def measured(rank: int, processes: int, batch_size: int, folder: Path) -> list[dict[str, float]]:
    found = []
    for make in (dlsgan, cagan):
        torch.manual_seed(2)
        model = make().double()
        options: dict[str, Any] = {"precision": "64-true", "logger": False}
        if processes > 1:
            options |= {"strategy": GANDDP(), "devices": processes}
        run = trainer(folder, EMA(), Evaluation(Corner()), **options)
        run.validate(model, Noise(batch_size=batch_size), verbose=False)
        found.append({name: float(v) for name, v in run.callback_metrics.items()})
    return found


def test_torchmetrics_2684_one_two_and_three_processes_measure_the_same(tmp_path: Path) -> None:
    alone = several(1, partial(measured, batch_size=8, folder=tmp_path), tmp_path / "1")[0]
    assert alone[0]["evaluation/samples"] == IMAGES
    assert {"fid/pixels", "psnr/fake", "ssim/real", "latent/loss"} <= alone[0].keys()
    assert {"fid/pixels", "kid/pixels", "precision/pixels", "coverage/pixels"} <= alone[1].keys()
    for processes, batch_size in ((2, 8), (3, 5)):
        work = partial(measured, batch_size=batch_size, folder=tmp_path)
        for found in several(processes, work, tmp_path / str(processes)):
            for values, expected in zip(found, alone, strict=True):
                assert values == pytest.approx(expected, rel=1e-6, abs=1e-7)


class Normed(nn.Module):
    """A generator with batch norm."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(latent_dim)
        self.rest = MLPGenerator(latent_dim, image_shape, width=8, depth=1)

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.rest(self.norm(z))
        return x


def statistics(rank: int, processes: int, folder: Path) -> tuple[Tensor, Tensor]:
    """Batch norm's mean, as training left it in a process and as it was in validation."""
    watch = Watch()
    model = GAN((2,), 3, Normed, partial(MLPDiscriminator, width=8, depth=1))
    options: dict[str, Any] = {"strategy": GANDDP(), "devices": processes, "logger": False}
    run = trainer(
        folder, EMA(0.5, warmup=None), watch, max_steps=5, val_check_interval=5, **options
    )
    run.fit(model, Gaussians(train=80, validation=16, batch_size=8))
    name = "generator.norm.running_mean"
    return watch.after[-1][name], watch.validated[-1][name]


def test_all_processes_measure_with_the_first_ones_batch_norm(tmp_path: Path) -> None:
    """Each has seen rows of its own, and they would measure as many models as they are."""
    (first, one), (second, other) = several(
        2, partial(statistics, folder=tmp_path), tmp_path / "two"
    )
    assert not torch.equal(first, second)
    assert torch.equal(one, other)


def test_real_images_are_looked_at_once(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Corner):
        def _extract(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return super()._extract(images)

    def values(batches: float = 1.0) -> dict[str, float]:
        torch.manual_seed(2)
        options: dict[str, Any] = {"logger": False, "limit_val_batches": batches}
        run = trainer(tmp_path, EMA(), Evaluation(Watched(), cache=str(tmp_path)), **options)
        run.validate(dlsgan(), Noise(batch_size=8), verbose=False)
        return {name: float(v) for name, v in run.callback_metrics.items()}

    part = values(batches=0.5)
    assert not list(tmp_path.glob("real-*"))  # of a part nothing is kept
    seen.clear()
    first = values()
    assert sum(seen) == 2 * IMAGES
    seen.clear()
    again = values()
    assert sum(seen) == IMAGES
    assert again == pytest.approx(first, rel=1e-6)
    assert part["fid/pixels"] != pytest.approx(first["fid/pixels"])


def test_draws_depend_on_their_index_alone() -> None:
    def draws() -> FixedDraws:
        return FixedDraws(Normal(3), Categorical((2, 3)), "cpu")

    z, c = draws().take(range(700))
    assert z.shape == (700, 3)
    assert c.shape == (700, 5)
    assert len({tuple(row) for row in z.tolist()}) == 700
    assert abs(float(z.mean())) < 0.1
    for step in (1, 2, 3, 300):
        for first in range(min(step, 3)):
            source, indices = draws(), range(first, 700, step)
            starts = range(0, len(indices), 7)
            found = [source.take(indices[begin : begin + 7]) for begin in starts]
            parts: list[Tensor] = [torch.cat(part) for part in zip(*found, strict=True)]
            assert torch.equal(parts[0], z[first::step])
            assert torch.equal(parts[1], c[first::step])
