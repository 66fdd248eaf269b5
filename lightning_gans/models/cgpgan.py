"""Classifier gradient penalty GAN: classes without labels, and how common each one is."""

from __future__ import annotations

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.distributed.collectives import global_mean
from lightning_gans.labels import (
    activations,
    cross_entropy,
    harden,
    is_one,
    mean_over_labels,
    softmax,
)
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.capabilities import Clusters, Generates
from lightning_gans.models.base.model import Batch
from lightning_gans.models.base.requirements import require_untraced_prior
from lightning_gans.networks import (
    ConditionalGeneratorFactory,
    DiscriminatorFactory,
    Separate,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import Categorical, Normal, PriorFactory
from lightning_gans.ranges import (
    CategoryCount,
    Decay,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SmallCount,
    Width,
)


class CGPGAN(AdversarialModule, Generates, Clusters):
    """Self-supervised class-conditional GAN (thesis, section 3.5, Algorithm 5).

    A classifier Q learns the categories of the fakes, which are known, and predicts those of real
    data; a CAGAN is trained with them. Only Q minimises the classification loss, so no decision
    boundary pushes the fakes. A penalty on Q's gradient at the fakes widens the region in which a
    boundary seeks sparse data: the larger the penalty, the fewer categories are found. P(C)
    follows Q's predictions for real data.

    At first, for ``warmup`` iterations, Q's probabilities of a real batch are shifted to a uniform
    mean (Eq. 48), so that the data do not collapse into one category. P(C) follows the shifted
    probabilities and stays uniform during this time.

    With several labels the losses are means over labels, and the penalties are of the mean
    activation and of the mean probability, as in the published code of the codebook.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the continuous latent.
        num_categories: the maximum number of categories of a label, d_c.
        num_labels: how many labels, d_l.
        generator: makes the generator from (latent_dim, image_shape, classes), e.g. a
            ``CodebookGenerator``; without, convolutions for images and fully connected layers for
            points.
        discriminator: makes the discriminator, and the classifier, which share nothing, from
            (image_shape, scores, code_dim); likewise.
        prior: makes the prior of the continuous latent from its size.
        decay: of P(C)'s running mean, in [0, 1).
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's and classifier's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        r2: weight of the squared gradient norm at fakes, λ_r2 (no factor of a half). No r1:
            only the categories of fakes are certain.
        classification: weight of the classifier's cross-entropy, λ_cls.
        classifier_penalty: weight of the classifier's gradient penalty, λ_cgp (Eq. 45).
        warmup: iterations in which Q's probabilities are normalised.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.
    """

    categories: Categorical
    discriminator: Separate

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 256,
        num_categories: CategoryCount = 16,
        num_labels: SmallCount = 1,
        generator: ConditionalGeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = Normal,
        decay: Decay = 0.999,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        r2: NonNegativeFloat = 1.0,
        classification: NonNegativeFloat = 1.0,
        classifier_penalty: NonNegativeFloat = 0.1,
        warmup: NonNegativeInt = 60_000,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.classes = (num_categories,) * num_labels
        self.r2, self.classification = r2, classification
        self.classifier_penalty, self.warmup = classifier_penalty, warmup
        self.prior = require_untraced_prior("CGPGAN", prior(latent_dim))
        self.categories = Categorical(self.classes, decay=decay)
        self.generator = build_generator(generator, latent_dim, self.image_shape, self.classes)
        width = sum(self.classes)
        self.discriminator = Separate(self.image_shape, width, width, trunk=discriminator)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Algorithm 5."""
        x, n = batch[0], len(batch[0])
        critic, classifier = self.discriminator.adversary, self.discriminator.encoder

        with self.turn("discriminator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            y = self.generator(z, c_f).requires_grad_()
            with torch.no_grad():
                found = softmax(classifier(x).code, self.classes)
                if self.global_step < self.warmup:
                    found = normalize(found, self.classes)
                c_r = harden(found, self.classes)
            real = activations(critic(self.augment(x)).score, c_r, self.classes)
            fake = activations(critic(self.augment(y)).score, c_f, self.classes)
            logits = classifier(y).code
            right = activations(softmax(logits, self.classes), c_f, self.classes)
            minimize(
                adversarial=(self.loss.real(real) + self.loss.fake(fake)).mean(),
                r2=gradient_penalty(mean_over_labels(fake), y, weight=self.lazy_weight(self.r2)),
                classification=self.classification
                * cross_entropy(logits, c_f, self.classes).mean(),
                classifier_penalty=gradient_penalty(
                    (1 - mean_over_labels(right)).square(),
                    y,
                    weight=self.lazy_weight(self.classifier_penalty),
                ),
            )

        with self.turn("generator") as minimize:
            z, c_f = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            y = self.generator(z, c_f)
            fake = activations(critic(self.augment(y)).score, c_f, self.classes)
            update = self.categories.start_update(found)
            minimize(adversarial=self.loss.generator(fake).mean())

        update()

    def class_logits(self, x: Tensor) -> Tensor:
        """Logits of the categories of x, (n, sum(classes)); unchecked, gradients flow."""
        logits: Tensor = self.discriminator.encoder(x).code
        return logits


def normalize(p: Tensor, classes: tuple[int, ...]) -> Tensor:
    """Probabilities (n, sum(classes)) shifted to a uniform mean over the batch (Eq. 48).

    The mean is over the rows of all processes. Single values may then leave [0, 1].
    """
    shifted = p - global_mean(p)
    if is_one(p, classes):
        return shifted + 1 / classes[0]
    return shifted + torch.cat([p.new_full((k,), 1 / k) for k in classes])
