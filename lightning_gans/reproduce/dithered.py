"""Digits with continuous grey levels, to find out what the levels of real images give away."""

from __future__ import annotations

import torch
from typing_extensions import override

from lightning_gans.data.mnist import MNIST
from lightning_gans.data.tensors import Batch
from lightning_gans.rng import stream


class DitheredMNIST(MNIST):
    """:class:`MNIST` whose training images have noise, uniform over one of the 256 grey levels.

    Real images have whole grey levels, but fakes, and images that are mixed of two, do not. With
    the noise a discriminator cannot tell images by their levels. It is drawn anew for each batch,
    from the seed and the iteration, so that a run that resumes draws what one without a break does.
    Images to validate on stay as they are.
    """

    name = "mnist"

    @override
    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        trainer = self.trainer
        if trainer is None or not trainer.training:
            return batch
        x, y = batch
        random = stream(f"dither/{trainer.global_step}", rank=trainer.global_rank)
        noise = torch.rand(x.shape, generator=random).to(x) - 0.5
        return x + noise * (2 / 255), y  # [-1, 1] has 255 steps of a grey level
