"""Short runs of every config, whose loss terms a later version must repeat.

``tests/fixtures/reference_curves.json`` holds the terms that version 0.1.0 logged;
``scripts/reference_curves.py`` writes the file anew.
"""

from __future__ import annotations

import csv
from pathlib import Path

from lightning_gans.cli import CONFIGS, main

FILE = CONFIGS.parent / "tests" / "fixtures" / "reference_curves.json"
STEPS = 20

ALWAYS = [
    f"trainer.max_steps={STEPS}",
    "trainer.precision=64-true",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "trainer.enable_progress_bar=false",
    "trainer.num_sanity_val_steps=0",
    "trainer.limit_val_batches=2",
    "logger=csv",
    "seed_everything=0",
    "evaluation.features=null",
    "ema.decay=0.9",
    "ema.warmup=null",
]


def both(*options: str) -> list[str]:
    """Options of the generator and of the discriminator."""
    return [
        f"model.{part}.{option}" for part in ("generator", "discriminator") for option in options
    ]


LATENT = "model.latent_dim=4"
POINTS = ["data=gaussians", "data.train=256", "data.batch_size=8"]
DIGITS = ["data=mnist5k", "data.batch_size=8"]
MLP = both("width=8", "depth=2")
DCGAN = both("channels=1", "max_channels=2")
ENCODER = ["model.discriminator.width=8", "model.discriminator.depth=2"]
CODEBOOK = [
    "model.generator.channels=4",
    "model.generator.max_channels=8",
    "model.discriminator.channels=1",
    "model.discriminator.max_channels=2",
    "model.discriminator.hidden=8",
]

# by the name of a config in configs/model
RUNS = {
    "acgan": [*POINTS, LATENT, *MLP],
    "aedlsgan": [*POINTS, LATENT, *MLP],
    "anodlsgan": [*POINTS, LATENT, *MLP],
    "autoencoder": [*POINTS, LATENT, *MLP],
    "cagan": [*POINTS, LATENT, *MLP],
    "cgpgan": [*POINTS, LATENT, *MLP, "model.num_categories=4", "model.warmup=10"],
    "cgpgan_codebook": [*DIGITS, LATENT, "model.warmup=10", *CODEBOOK],
    "classifier": [*POINTS, "model.num_features=8", *ENCODER],
    "dcgan_soft": [*DIGITS, LATENT, *DCGAN],
    "dlsgan": [*POINTS, LATENT, *MLP],
    "elastic_infogan": [*POINTS, LATENT, *MLP, "model.num_categories=4", "model.warmup=10"],
    "encoder": [*POINTS, "model.checkpoint=gan", *ENCODER],
    "gan": [*POINTS, LATENT, *MLP],
    "infogan": [*POINTS, LATENT, *MLP],
    "infogan_categorical": [*POINTS, LATENT, *MLP, "model.num_categories=4"],
    "lsgan": [*POINTS, LATENT, *MLP],
    "msegan": [*POINTS, LATENT, *MLP],
    "pvdgan": [*POINTS, LATENT, *MLP],
    "vaegan": [*POINTS, LATENT, *MLP],
    "wgan_gp": ["data=mnist5k", "data.batch_size=20", LATENT, *DCGAN],
}

Terms = dict[str, list[tuple[int, float]]]


def curve(name: str) -> Terms:
    """Train a config in the working directory; each logged term's iterations and values."""
    if name == "encoder":  # of a generator that is trained before it
        train("gan").rename("gan")
    with (train(name) / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    terms: Terms = {}
    for row in rows:
        for key, value in row.items():
            if key != "step" and value:
                terms.setdefault(key, []).append((int(row["step"]), float(value)))
    return terms


def train(name: str) -> Path:
    """Train a config in the working directory; its run's folder."""
    main([f"model={name}", *RUNS[name], *ALWAYS])
    (folder,) = Path("runs", name).glob("*/*/")
    return folder
