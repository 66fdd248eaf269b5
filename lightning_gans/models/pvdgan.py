"""Perceptual VAE in a dynamic latent scale GAN (DLSGAN), without extra forward passes."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.errors import InputError
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule, EncodesByDiscriminator
from lightning_gans.models.base.capabilities import Generates, Reconstructs, ScoresOOD
from lightning_gans.models.base.model import Batch
from lightning_gans.networks import (
    DiscriminatorFactory,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import DynamicScale, PriorFactory, Traced
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width


class PVDGAN(AdversarialModule, Generates, Reconstructs, ScoresOOD, EncodesByDiscriminator):
    """DLSGAN whose generator also reconstructs real images (thesis, section 3.4, Algorithm 4).

    Half of the generator's latents are codes of real images, with the noise that brings them to
    the prior's variance: z_x = E(x) + Z·√max(1 - v, 0) for a prior of variance 1 (Eq. 38). Their
    fakes take part in the game like all others, and their features are pulled towards those of the
    images they came from (Eq. 39). The features are the discriminator's, which are known already.

    Codes and features of real images are those of the discriminator's turn, as constants: the
    reconstruction loss trains the generator alone, and compares features of before and after the
    discriminator's step. (The thesis leaves both open; the published code does this.)

    While v is far below 1, at the start, z_x has more variance than the prior.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the latent.
        generator: makes the generator from (latent_dim, image_shape); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator from (image_shape, scores, code_dim); likewise.
        prior: makes the prior from its size; it must trace v, and be normal.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        r1: weight of the squared gradient norm at real data, λ_r1 (no factor of a half).
        latent: weight of L_enc, λ_enc, for both players unless ``generator_latent`` is given.
        generator_latent: that of the generator, if not the same.
        reconstruction: weight of L_rec for the generator, λ_rec.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.

    Raises:
        ValueError: if the prior traces no variance, or is not normal.
    """

    prior: Traced

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 1024,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = DynamicScale,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 3.0,
        latent: NonNegativeFloat = 1.0,
        generator_latent: NonNegativeFloat | None = None,
        reconstruction: NonNegativeFloat = 1.0,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.r1, self.latent, self.reconstruction = r1, latent, reconstruction
        self.generator_latent = latent if generator_latent is None else generator_latent
        made = prior(latent_dim)
        if not isinstance(made, Traced):
            raise ValueError(
                f"PVDGAN needs a DynamicScale or FixedScale, got {type(made).__name__}"
            )
        if not made.is_normal:
            raise ValueError(
                "PVDGAN adds normal noise to codes to give them the prior's distribution (Eq. 38), "
                f"which takes a normal prior; got {type(made).__name__} of "
                f"{type(made.base).__name__}"
            )
        self.prior = made
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Algorithm 4."""
        x, half = batch[0], halves(batch[0])
        s = self.prior.scale()  # constant within an iteration

        with self.turn("discriminator") as minimize:
            x = x.detach().requires_grad_()
            z = self.prior.sample(len(x), self.random)
            real, fake = self.score_and_encode(x), self.score_and_encode(self.generator(z * s))
            minimize(
                adversarial=(self.loss.real(real.score) + self.loss.fake(fake.score)).mean(),
                r1=gradient_penalty(real.score, x, weight=self.lazy_weight(self.r1)),
                latent=self.latent * (s * (z - fake.code)).square().mean(),
            )
        seen = fake.code

        with self.turn("generator") as minimize:
            z = self.prior.sample(len(x), self.random)
            missing = (1 - self.prior.v / self.prior.variance).clamp(min=0).sqrt()
            z = torch.cat([real.code[:half].detach() + z[:half] * missing, z[half:]])
            fake = self.score_and_encode(self.generator(z * s))
            difference = real.features[:half].detach() - fake.features[:half]
            update = self.prior.start_update(torch.cat([seen, fake.code[half:]]))
            minimize(
                adversarial=self.loss.generator(fake.score).mean(),
                latent=self.generator_latent * (s * (z - fake.code))[half:].square().mean(),
                reconstruction=self.reconstruction * difference.square().mean(),
            )

        update()


def halves(x: Tensor) -> int:
    """The size of the first half of a batch.

    Raises:
        InputError: if the batch has fewer than 2 rows.
    """
    if len(x) < 2:
        raise InputError(
            f"PVDGAN reconstructs half of a batch, got a batch of {len(x)}; choose a "
            "data.batch_size of at least 2"
        )
    return len(x) // 2
