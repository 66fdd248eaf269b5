"""Conditional activation GAN: a discriminator for each class, with shared layers."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.labels import ActivationFactory, PerLabel, one_hot
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Generates
from lightning_gans.models.base.mixed_batches import Mixing, MixingFactory, PureBatches, mix, unmix
from lightning_gans.models.base.model import Batch
from lightning_gans.models.base.requirements import require_labels, require_untraced_prior
from lightning_gans.networks import (
    ConditionalGeneratorFactory,
    DiscriminatorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Categorical, Normal, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width


class CAGAN(AdversarialModule, Generates):
    """Class-conditional GAN without a classifier (thesis, section 3.1).

    The discriminator has a score for each class, and a condition selects one of them for each
    label: the activation a·c (Eq. 29-30). Every class is a GAN of its own; no
    classification loss pushes the fakes away from a decision boundary.

    The penalties r1 and r2 are of the mean selected activation, at real data and at fakes. With a
    discriminator that sees the whole batch they include the derivatives of other rows' scores.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: how many classes each label of the data has.
        latent_dim: size of the continuous latent.
        generator: makes the generator from (latent_dim, image_shape, classes); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator from (image_shape, scores, code_dim); likewise.
        prior: makes the prior of the continuous latent from its size.
        probabilities: P(C) of the fakes' labels, (sum(classes),); uniform by default.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        activation: makes what the scores of several labels become, ``PerLabel`` or ``Summed``.
        mixing: makes the schedule of mixed batches, e.g. ``MixedBatches``.
        r1: weight of the squared gradient norm at real data (no factor of a half).
        r2: weight of the squared gradient norm at fakes.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.

    Raises:
        ValueError: if the data have no labels, or ``probabilities`` are invalid.
    """

    categories: Categorical
    uses_labels = True

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...],
        latent_dim: Width = 256,
        generator: ConditionalGeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = Normal,
        probabilities: Sequence[NonNegativeFloat] | None = None,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        activation: ActivationFactory = PerLabel,
        mixing: MixingFactory = PureBatches,
        r1: NonNegativeFloat = 1.0,
        r2: NonNegativeFloat = 1.0,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.classes = tuple(image_shape), require_labels("CAGAN", classes)
        self.loss, self.activation = loss(), activation()
        self.mixing: Mixing = mixing()
        self.r1, self.r2 = r1, r2
        self.prior, self.categories = (
            require_untraced_prior("CAGAN", prior(latent_dim)),
            Categorical(self.classes, probabilities),
        )
        self.generator = build_generator(generator, latent_dim, self.image_shape, self.classes)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=sum(self.classes), code_dim=0
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Eq. 29-30 of the thesis, on mixed batches (section 3.1.1)."""
        x, n = batch[0].detach(), len(batch[0])
        c_r = one_hot(batch[1], self.classes, x.dtype, check=False)
        exchanged = self.mixing.count(n, self.global_step)

        with self.turn("discriminator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            x, y = x.requires_grad_(), self.generator(z, c_f).requires_grad_()
            real, fake = self.discriminate(x, y, c_r, c_f, exchanged)
            activation = real.mean(1) + fake.mean(1)
            minimize(
                adversarial=(self.loss.real(real) + self.loss.fake(fake)).mean(),
                r1=gradient_penalty(activation, x, weight=self.lazy_weight(self.r1)),
                r2=gradient_penalty(activation, y, weight=self.lazy_weight(self.r2)),
            )

        with self.turn("generator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            y = self.generator(z, c_f)
            if exchanged:
                _, fake = self.discriminate(x.detach(), y, c_r, c_f, exchanged)
            else:  # the loss does not depend on real data
                fake = self.activation(self.discriminator(self.augment(y)).score, c_f, self.classes)
            minimize(adversarial=self.loss.generator(fake).mean())

    def discriminate(
        self, x: Tensor, y: Tensor, c_r: Tensor, c_f: Tensor, exchanged: int
    ) -> tuple[Tensor, Tensor]:
        """The activations, (n, labels), of real data and of fakes, computed on mixed batches."""
        mixed = mix(self.augment(x), self.augment(y), exchanged)
        first, second = (self.discriminator(part).score for part in mixed)
        real, fake = unmix(first, second, exchanged)
        return (
            self.activation(real, c_r, self.classes),
            self.activation(fake, c_f, self.classes),
        )
