"""Auxiliary classifier GAN, and its revision: the baselines of CAGAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.labels import cross_entropy, one_hot
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Classifies, Generates
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


class Predicted(NamedTuple):
    """The discriminator's scores (n,) and logits (n, sum(classes)) of real data or of fakes."""

    score: Tensor
    logits: Tensor


class ACGAN(AdversarialModule, Generates, Classifies):
    """Class-conditional GAN whose discriminator also classifies (Odena et al. 2017).

    The three classification losses have weights of their own (thesis, Eq. 1-8): all 1 is ACGAN,
    (λ, 0, λ) is the revised ACGAN, whose classifier is not trained on fakes.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: how many classes each label of the data has.
        latent_dim: size of the continuous latent.
        generator: makes the generator from (latent_dim, image_shape, classes); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator from (image_shape, scores, code_dim); likewise. Its
            code is the logits.
        prior: makes the prior of the continuous latent from its size.
        probabilities: P(C) of the fakes' labels, (sum(classes),); uniform by default.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        mixing: makes the schedule of mixed batches, e.g. ``MixedBatches``.
        r1: weight of the squared gradient norm of the score at real data (no factor of a half).
        r2: weight of the squared gradient norm of the score at fakes.
        classification_real: weight of the discriminator's cross-entropy on real data.
        classification_fake: weight of the discriminator's cross-entropy on fakes.
        classification: weight of the generator's cross-entropy.
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
        mixing: MixingFactory = PureBatches,
        r1: NonNegativeFloat = 1.0,
        r2: NonNegativeFloat = 1.0,
        classification_real: NonNegativeFloat = 1.0,
        classification_fake: NonNegativeFloat = 1.0,
        classification: NonNegativeFloat = 1.0,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.classes = tuple(image_shape), require_labels("ACGAN", classes)
        self.loss = loss()
        self.mixing: Mixing = mixing()
        self.r1, self.r2 = r1, r2
        self.classification_real, self.classification_fake = (
            classification_real,
            classification_fake,
        )
        self.classification = classification
        self.prior, self.categories = (
            require_untraced_prior("ACGAN", prior(latent_dim)),
            Categorical(self.classes, probabilities),
        )
        self.generator = build_generator(generator, latent_dim, self.image_shape, self.classes)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=1, code_dim=sum(self.classes)
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Eq. 1-8, on mixed batches (section 3.1.1)."""
        x, n = batch[0].detach(), len(batch[0])
        c_r = one_hot(batch[1], self.classes, x.dtype, check=False)
        exchanged = self.mixing.count(n, self.global_step)

        with self.turn("discriminator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            x, y = x.requires_grad_(), self.generator(z, c_f).requires_grad_()
            real, fake = self.discriminate(x, y, exchanged)
            score = real.score + fake.score
            minimize(
                adversarial=(self.loss.real(real.score) + self.loss.fake(fake.score)).mean(),
                r1=gradient_penalty(score, x, weight=self.lazy_weight(self.r1)),
                r2=gradient_penalty(score, y, weight=self.lazy_weight(self.r2)),
                classification_real=self.classification_real
                * cross_entropy(real.logits, c_r, self.classes).mean(),
                classification_fake=self.classification_fake
                * cross_entropy(fake.logits, c_f, self.classes).mean(),
            )

        with self.turn("generator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            y = self.generator(z, c_f)
            if exchanged:
                _, fake = self.discriminate(x.detach(), y, exchanged)
            else:  # the loss does not depend on real data
                fake = Predicted(*self.discriminator(self.augment(y))[:2])
            minimize(
                adversarial=self.loss.generator(fake.score).mean(),
                classification=self.classification
                * cross_entropy(fake.logits, c_f, self.classes).mean(),
            )

    def discriminate(self, x: Tensor, y: Tensor, exchanged: int) -> tuple[Predicted, Predicted]:
        """The discriminator's output for real data and for fakes, computed on mixed batches."""
        mixed = mix(self.augment(x), self.augment(y), exchanged)
        first, second = (self.discriminator(part) for part in mixed)
        scores = unmix(first.score, second.score, exchanged)
        logits = unmix(first.code, second.code, exchanged)
        return Predicted(scores[0], logits[0]), Predicted(scores[1], logits[1])

    def class_logits(self, x: Tensor) -> Tensor:
        """Logits of the classes of x, (n, sum(classes)); unchecked.

        With a discriminator that sees the whole batch they depend on the other rows; trained on
        mixed batches, it expects real data and fakes among them.
        """
        logits: Tensor = self.discriminator(x).code
        return logits
