"""The plain generative adversarial network, with the usual losses and penalties."""

from __future__ import annotations

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.errors import InputError
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty, interpolate
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Generates
from lightning_gans.models.base.model import Batch
from lightning_gans.models.base.requirements import require_untraced_prior
from lightning_gans.networks import (
    DiscriminatorFactory,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Normal, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width


class GAN(AdversarialModule, Generates):
    """Generator against discriminator (Goodfellow et al. 2014); no encoder.

    With ``loss`` it is NSGAN, LSGAN, hinge GAN or, with a gradient penalty and several critic
    steps, WGAN-GP.

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
        r1: weight of the squared gradient norm at real data (no factor of a half).
        r2: weight of the squared gradient norm at fakes.
        penalty: weight of WGAN-GP's (‖∇‖ - 1)² between real data and fakes; usually 10.
        critic_steps: discriminator updates for each of the generator. The batch is cut into as
            many parts, so that each update sees different data.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.
    """

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 64,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = Normal,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 10.0,
        r2: NonNegativeFloat = 0.0,
        penalty: NonNegativeFloat = 0.0,
        critic_steps: PositiveInt = 1,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss, self.critic_steps = tuple(image_shape), loss(), critic_steps
        self.r1, self.r2, self.penalty = r1, r2, penalty
        self.prior = require_untraced_prior("GAN", prior(latent_dim))
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=0
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Goodfellow et al. 2014, Algorithm 1, with k = ``critic_steps``."""
        s = self.prior.scale()

        for x in self.parts(batch[0]):
            with self.turn("discriminator") as minimize:
                x.requires_grad_()
                y = self.generator(self.prior.sample(len(x), self.random) * s).requires_grad_()
                real = self.discriminator(self.augment(x)).score
                fake = self.discriminator(self.augment(y)).score
                terms = {"adversarial": (self.loss.real(real) + self.loss.fake(fake)).mean()}
                if r1 := self.lazy_weight(self.r1):
                    terms["r1"] = gradient_penalty(real, x, weight=r1)
                if r2 := self.lazy_weight(self.r2):
                    terms["r2"] = gradient_penalty(fake, y, weight=r2)
                if penalty := self.lazy_weight(self.penalty):
                    between = interpolate(x, y, self.random)
                    score = self.discriminator(self.augment(between)).score
                    terms["penalty"] = penalty * gradient_penalty(score, between, center=1.0)
                minimize(**terms)

        with self.turn("generator") as minimize:
            y = self.generator(self.prior.sample(len(x), self.random) * s)
            score = self.discriminator(self.augment(y)).score
            minimize(adversarial=self.loss.generator(score).mean())

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut a batch into ``critic_steps`` parts, which differ by at most one row.

        Raises:
            ValueError: if there are fewer rows.
        """
        if len(x) < self.critic_steps:
            raise InputError(
                f"a batch of {len(x)} cannot be cut into critic_steps={self.critic_steps} "
                "parts; choose a larger data.batch_size"
            )
        return x.detach().tensor_split(self.critic_steps)
