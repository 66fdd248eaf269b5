"""Small models that several tests use."""

from __future__ import annotations

from functools import partial

import torch

from lightning_gans.models import DLSGAN
from lightning_gans.priors import DynamicScale
from tests.support.rounds import DESCENT, LATENT, SHAPE, TinyDiscriminator, TinyGenerator


def tiny_dlsgan(**options: object) -> DLSGAN:
    """DLSGAN of images of 4 × 4, with weights of seed 1; options replace its arguments."""
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
        "prior": partial(DynamicScale, decay=0.9, start=1e-4),
        "r1": 0.7,
        "latent": 1.3,
    }
    return DLSGAN(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given
