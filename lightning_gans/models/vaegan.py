"""VAEGAN, the three-network baseline of PVDGAN."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.errors import InputError
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Encoding, Generates, Reconstructs
from lightning_gans.models.base.model import Batch
from lightning_gans.models.base.requirements import require_standard_normal
from lightning_gans.networks import (
    DiscriminatorFactory,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Normal, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width


class VAEGAN(AdversarialModule, Generates, Reconstructs):
    """Perceptual VAE and GAN with a separate encoder (Larsen et al. 2016; thesis, Eq. 19-24).

    Half of each player's fakes are decoded from the prior, half from the posterior
    z_x = μ + N(0, 1)·exp(log σ² / 2) of real images: those of the batch's second half in the
    discriminator's turn, of its first half in the generator's. The encoder minimises the
    reconstruction loss on the discriminator's features, which reaches it through the sample, and
    the prior loss; no adversarial loss.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the latent.
        generator: makes the generator from (latent_dim, image_shape); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator, and the encoder, which share nothing, from
            (image_shape, scores, code_dim); likewise.
        prior: makes the prior from its size.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        r1: weight of the squared gradient norm at real data, λ_r1 (no factor of a half).
        reconstruction: weight of L_rec for generator and encoder, λ_rec.
        regularization: weight of the prior loss L_prr, λ_prr; 0, 1 and 10 in the thesis.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.
    """

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 1024,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = Normal,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 3.0,
        reconstruction: NonNegativeFloat = 1.0,
        regularization: NonNegativeFloat = 1.0,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.r1, self.reconstruction, self.regularization = r1, reconstruction, regularization
        self.prior = require_standard_normal("VAEGAN", prior(latent_dim))
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=0
        )
        self.encoder = build_discriminator(
            discriminator, self.image_shape, scores=0, code_dim=2 * latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Eq. 19-24."""
        x, half = batch[0].detach(), len(batch[0]) // 2
        if len(x) % 2:
            raise InputError(
                f"VAEGAN encodes one half of a batch in each turn, got a batch of {len(x)}; choose "
                "an even data.batch_size"
            )

        with self.turn("discriminator") as minimize:
            x = x.requires_grad_()
            with torch.no_grad():
                mean, log_variance = self.posterior(x[half:])
            z = self.prior.sample(len(x), self.random)
            z = torch.cat([z[:half], mean + z[half:] * (log_variance / 2).exp()])
            real = self.score_and_encode(x)
            fake = self.discriminator(self.augment(self.generator(z)))
            minimize(
                adversarial=(self.loss.real(real.score) + self.loss.fake(fake.score)).mean(),
                r1=gradient_penalty(real.score, x, weight=self.lazy_weight(self.r1)),
            )

        with self.turn("generator") as minimize:
            mean, log_variance = self.posterior(x[:half].detach())
            z = self.prior.sample(len(x), self.random)
            z_x = mean + z[:half] * (log_variance / 2).exp()
            start = z_x.detach().requires_grad_()
            fake = self.score_and_encode(self.generator(torch.cat([start, z[half:]])))
            difference = real.features[:half].detach() - fake.features[:half]
            reconstruction = self.reconstruction * difference.square().mean()
            # the adversarial loss is the generator's alone: only this gradient reaches the encoder
            (pull,) = torch.autograd.grad(reconstruction, start, retain_graph=True)
            minimize(
                adversarial=self.loss.generator(fake.score).mean(),
                reconstruction=reconstruction + (pull * (z_x - start.detach())).sum(),
                regularization=self.regularization
                * (mean.square() - log_variance + log_variance.exp()).mean(),
            )

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents of images, (n, latent_dim) each."""
        mean, log_variance = self.encoder(x).code.chunk(2, 1)
        return mean, log_variance

    def encoding(self, x: Tensor) -> Encoding:
        """The posterior's mean and the encoder's features of x; unchecked, gradients flow."""
        output = self.encoder(x)
        mean, _ = output.code.chunk(2, 1)
        return Encoding(mean, output.features)
