"""A short training of two-dimensional points, and a callback that watches it."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_gans.data import Gaussians
from lightning_gans.models import DLSGAN, GAN, AdversarialModule
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import AdamW
from lightning_gans.runs.metrics_csv import MetricsCSV
from tests.support.rounds import LATENT

Weights = dict[str, Tensor]


def points(model: type[DLSGAN] | type[GAN] = DLSGAN, seed: int = 1) -> AdversarialModule:
    """A small model of points, with weights drawn from a seed."""
    torch.manual_seed(seed)
    return model(
        image_shape=(2,),
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
        optimizer=partial(AdamW, lr=0.01),
    )


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    """A trainer that logs every iteration to ``folder/metrics.csv`` and prints nothing."""
    quiet = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": MetricsCSV(str(folder)),
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
        "callbacks": list(callbacks),
    }
    return Trainer(**{**quiet, **options})


def data() -> Gaussians:
    """Points for epochs of ten iterations."""
    return Gaussians(train=80, validation=16, batch_size=8)


class Watch(Callback):
    """Remembers the weights after every iteration and during validation."""

    def __init__(self) -> None:
        self.after: list[Weights] = []
        self.validated: list[Weights] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after.append(copy.deepcopy(pl_module.state_dict()))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated.append(copy.deepcopy(pl_module.state_dict()))
