"""An encoder for a trained generator: the baseline of inversion."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.models.base.capabilities import Encoding, Generates, Reconstructs
from lightning_gans.models.base.constructor_spec import constructor_spec
from lightning_gans.models.base.load import restore
from lightning_gans.models.base.model import Batch, Model
from lightning_gans.networks import DiscriminatorFactory, DiscriminatorOutput, build_discriminator
from lightning_gans.optimizers import AdamW
from lightning_gans.ranges import NonNegativeFloat, Width
from lightning_gans.runs.checkpoints import find, read


class Encoder(Model, Generates, Reconstructs):
    """Encoder that learns to invert a frozen generator (baseline of the thesis, section 4.2.1).

    A fresh network minimises L_enc = mean((z - E(G(z∘s)))²) (Eq. 15) on fakes alone; of the data,
    only the batch size is used. Generator (averaged weights) and prior are the trained
    model's; neither is changed, batch norm and buffers included.

    Args:
        checkpoint: of a model that generates without conditions: a file, or its run's folder, whose
            newest is loaded; or the trained model itself, which is copied. An encoder's own
            checkpoint contains what it needs of that model.
        image_shape: of one image of the data, the same as the generator's.
        discriminator: makes the encoder from (image_shape, scores, code_dim), with no scores;
            without, convolutions for images and fully connected layers for points.
        optimizer: makes an optimiser from parameters.
        latent: weight of L_enc.

    Raises:
        CheckpointMissing: if there is no checkpoint.
        UnreadableCheckpoint: if the file is damaged or holds no model of this package.
        ValueError: if the model does not generate images from latents alone, or its images have
            another shape.
    """

    players = ("encoder",)

    def __init__(
        self,
        checkpoint: str | Model,
        image_shape: tuple[Width, ...],
        discriminator: DiscriminatorFactory | None = None,
        optimizer: OptimizerCallable = AdamW,
        latent: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(optimizer)
        self.save_hyperparameters(ignore="checkpoint", logger=False)
        model, described = opened(checkpoint)
        source = require_unconditional(model)
        if source.image_shape != tuple(image_shape):
            raise InputError(
                f"expected data of the shape of the generator's images, {source.image_shape}, got "
                f"{tuple(image_shape)}; choose the data that its model was trained on"
            )
        if described is not None:
            # instead of a path, which may be gone when this model is loaded
            self.hparams["checkpoint"] = described
        self.image_shape, self.latent = source.image_shape, latent
        self.prior = deepcopy(source.prior).requires_grad_(False)
        self.generator = deepcopy(source.generator).requires_grad_(False)
        self.encoder = build_discriminator(
            discriminator, self.image_shape, scores=0, code_dim=self.prior.dim
        )
        self.train()

    def train(self, mode: bool = True) -> Encoder:
        """Set the mode; the frozen networks stay in evaluation mode."""
        super().train(mode)
        self.prior.eval()
        self.generator.eval()
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Eq. 15."""
        n, s = len(batch[0]), self.prior.scale()
        with torch.no_grad():
            z = self.prior.sample(n, self.random)
            y = self.generator(z * s)

        with self.turn("encoder") as minimize:
            minimize(latent=self.latent * (z - self.encoding(y).code).square().mean())

    def encoding(self, x: Tensor) -> Encoding:
        """The encoder's output for x, (n, *image_shape); unchecked, gradients flow."""
        output: DiscriminatorOutput = self.encoder(x)
        return Encoding(output.code, output.features)


def opened(checkpoint: str | Model) -> tuple[Model, dict[str, Any] | None]:
    """A trained model and the spec of its constructor; None if that cannot be written."""
    if isinstance(checkpoint, Model):
        described, unwritten = constructor_spec(checkpoint)
        return checkpoint, None if unwritten else described
    file = find(Path(checkpoint))
    content = read(file)
    return restore(content, file), content["hyper_parameters"]


def require_unconditional(source: Model) -> Generates:
    """The model, if it generates images from latents alone.

    Raises:
        InputError: if it does not generate, or not without a condition.
    """
    if not isinstance(source, Generates) or source.categories is not None:
        why = "generates by class" if isinstance(source, Generates) else "generates no images"
        raise InputError(
            "expected the checkpoint of a model that generates images from latents alone, such as "
            f"GAN, got one of {type(source).__name__}, which {why}; give the checkpoint of another"
        )
    return source
