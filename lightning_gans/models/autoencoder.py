"""Autoencoder: the same two networks without an adversary."""

from __future__ import annotations

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.models.base.capabilities import Encoding, Reconstructs
from lightning_gans.models.base.model import Batch, Model
from lightning_gans.networks import (
    DiscriminatorFactory,
    DiscriminatorOutput,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Normal
from lightning_gans.ranges import NonNegativeFloat, Width


class Autoencoder(Model, Reconstructs):
    """Encoder and decoder that minimise the squared error of each pixel (thesis, section 4.3.1).

    A baseline of reconstruction and of its error as an OOD score. The
    distribution of its codes is unknown, so it cannot generate.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the code.
        generator: makes the decoder from (latent_dim, image_shape); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the encoder from (image_shape, scores, code_dim), with no scores;
            likewise.
        optimizer: makes an optimiser from parameters.
        reconstruction: weight of the mean squared error.
    """

    players = ("autoencoder",)

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 256,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        optimizer: OptimizerCallable = AdamW,
        reconstruction: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__(optimizer)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.reconstruction = tuple(image_shape), reconstruction
        self.prior = Normal(latent_dim)  # for its size and scale of ones; never sampled
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.encoder = build_discriminator(
            discriminator, self.image_shape, scores=0, code_dim=latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """The mean of (x - G(E(x)))² over images and pixels."""
        x, _ = batch

        with self.turn("autoencoder") as minimize:
            reconstructed = self.generator(self.encoding(x).code)
            minimize(reconstruction=self.reconstruction * (x - reconstructed).square().mean())

    def encoding(self, x: Tensor) -> Encoding:
        """The encoder's output for x, (n, *image_shape); unchecked, gradients flow."""
        output: DiscriminatorOutput = self.encoder(x)
        return Encoding(output.code, output.features)
