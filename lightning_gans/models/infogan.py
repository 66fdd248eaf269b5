"""InfoGAN whose encoder recovers the whole continuous latent, with its own variance."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Encoding, Generates, Reconstructs, ScoresOOD
from lightning_gans.models.base.model import Batch
from lightning_gans.networks import (
    DiscriminatorFactory,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import FixedScale, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Width


class InfoGAN(AdversarialModule, Generates, Reconstructs, ScoresOOD):
    """GAN whose encoder predicts the mean and log variance of each latent element.

    Both players minimise (Chen et al. 2016; thesis, Eq. 16-18)::

        L_enc = mean(log σ² + (z - μ)² / σ²)

    which is twice the negative log likelihood without constants. It has no lower bound as σ² falls
    to 0, so the variance has a floor: σ² = exp(h) + ``floor``, h being the head's output, in both
    terms. (The published code adds 1e-7 to the denominator only, which does not bound the loss.)

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
        generator_latent: that of the generator, if not the same.
        floor: the minimum variance, positive, in squared units of the latent.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.

    Raises:
        ValueError: if ``floor`` is not positive.
    """

    predicts_variance = True

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 1024,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = FixedScale,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 10.0,
        latent: NonNegativeFloat = 1.0,
        generator_latent: NonNegativeFloat | None = None,
        floor: PositiveFloat = 1e-4,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.r1, self.latent, self.floor = r1, latent, floor
        self.generator_latent = latent if generator_latent is None else generator_latent
        self.prior = prior(latent_dim)
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=2 * latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Eq. 16-18."""
        x, _ = batch
        s = self.prior.scale()

        with self.turn("discriminator") as minimize:
            x = x.detach().requires_grad_()
            z = self.prior.sample(len(x), self.random)
            real = self.discriminator(self.augment(x))
            fake = self.score_and_encode(self.generator(z * s))
            mean, variance = self.predict(fake.code)
            minimize(
                adversarial=(self.loss.real(real.score) + self.loss.fake(fake.score)).mean(),
                r1=gradient_penalty(real.score, x, weight=self.lazy_weight(self.r1)),
                latent=self.latent * (variance.log() + (z - mean).square() / variance).mean(),
            )
        seen = mean

        with self.turn("generator") as minimize:
            z = self.prior.sample(len(x), self.random)
            fake = self.score_and_encode(self.generator(z * s))
            mean, variance = self.predict(fake.code)
            update = self.prior.start_update(torch.cat([seen, mean]))
            minimize(
                adversarial=self.loss.generator(fake.score).mean(),
                latent=self.generator_latent
                * (variance.log() + (z - mean).square() / variance).mean(),
            )

        update()

    def predict(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's code, (n, 2 latent_dim), as mean and variance, (n, latent_dim)."""
        mean, log_variance = code.chunk(2, 1)
        return mean, log_variance.exp() + self.floor

    def encoding(self, x: Tensor) -> Encoding:
        """The predicted means and variances of the latents of x; unchecked, gradients flow."""
        output = self.discriminator(x)
        mean, variance = self.predict(output.code)
        return Encoding(mean, output.features, variance)
