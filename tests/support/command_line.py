"""Short runs from the command line, and what they leave."""

from __future__ import annotations

import csv
from pathlib import Path

from lightning_gans.cli import CONFIGS

ROOT = CONFIGS.parent


MLP = [
    "data=gaussians",
    "data.train=320",
    "data.validation=64",
    "model.generator.width=8",
    "model.discriminator.width=8",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.log_every_n_steps=1",
]


BRIEF = [
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.max_steps=1",
    "trainer.limit_val_batches=2",  # 1 would be parsed as 1.0, which is all
]


def rows(run: Path) -> list[dict[str, str]]:
    """The lines of a run\'s metrics.csv."""
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def only(folder: Path) -> Path:
    """The one entry of a folder."""
    (run,) = folder.iterdir()
    return run


def small(images: Path) -> list[str]:
    """Options of a short training on a folder of images of 16 × 16."""
    return [
        "model=dlsgan",
        "evaluation.features=null",
        "data=folder",
        f"data.root={images}",
        "data.resolution=16",
        "data.channels=1",
        "data.validation=24",
        "data.batch_size=8",
        "model.latent_dim=6",
        "model.generator.channels=2",
        "model.discriminator.channels=2",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "trainer.log_every_n_steps=1",
        "trainer.max_steps=3",
    ]
