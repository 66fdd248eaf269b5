"""Dynamic latent scale GAN: an encoder inside the discriminator that inverts the generator."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
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
from lightning_gans.priors import DynamicScale, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width


class DLSGAN(AdversarialModule, Generates, Reconstructs, ScoresOOD, EncodesByDiscriminator):
    """GAN whose latent scale s follows what its encoder can recover (thesis, section 3.2).

    An encoder that is trained to recover every element of an i.i.d. latent never converges,
    because the generator loses some of them. Here each element is scaled by how well it is
    recovered: elements that the generator ignores shrink, and the encoder recovers the rest.

    Discriminator and encoder are one network with two heads. Both players minimise
    L_enc = mean(((z - z')∘s)²) (Eq. 33) in addition to their adversarial losses. s is constant
    within an iteration and takes no gradient; v is estimated from the fakes' codes of both turns.
    The thesis leaves the initial value of v open; see :class:`~lightning_gans.priors.DynamicScale`.

    With a fixed prior instead of a dynamic scale it is MSEGAN.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the latent.
        generator: makes the generator from (latent_dim, image_shape); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator from (image_shape, scores, code_dim); likewise.
        prior: makes the prior from its size.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        r1: weight of the squared gradient norm at real data, λ_r1 (no factor of a half).
        latent: weight of L_enc, λ_enc, for both players unless ``generator_latent`` is given.
        generator_latent: that of the generator, if not the same; 0 for the thesis's ablation.
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
        prior: PriorFactory = DynamicScale,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 10.0,
        latent: NonNegativeFloat = 1.0,
        generator_latent: NonNegativeFloat | None = None,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.r1, self.latent = r1, latent
        self.generator_latent = latent if generator_latent is None else generator_latent
        self.prior = prior(latent_dim)
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Algorithm 2."""
        x, _ = batch
        s = self.prior.scale()  # constant within an iteration

        with self.turn("discriminator") as minimize:
            x = x.detach().requires_grad_()
            z = self.prior.sample(len(x), self.random)
            real = self.discriminator(self.augment(x))
            fake = self.score_and_encode(self.generator(z * s))
            minimize(
                adversarial=(self.loss.real(real.score) + self.loss.fake(fake.score)).mean(),
                r1=gradient_penalty(real.score, x, weight=self.lazy_weight(self.r1)),
                latent=self.latent * (s * (z - fake.code)).square().mean(),
            )
        seen = fake.code

        with self.turn("generator") as minimize:
            z = self.prior.sample(len(x), self.random)
            fake = self.score_and_encode(self.generator(z * s))
            update = self.prior.start_update(torch.cat([seen, fake.code]))
            minimize(
                adversarial=self.loss.generator(fake.score).mean(),
                latent=self.generator_latent * (s * (z - fake.code)).square().mean(),
            )

        update()
