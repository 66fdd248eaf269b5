"""Class-conditional InfoGAN, and with learnable probabilities Elastic InfoGAN."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, IdentityPreserving, NoAugmentation
from lightning_gans.labels import cross_entropy
from lightning_gans.losses import LossFactory, NonSaturating, contrastive_loss, gradient_penalty
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
from lightning_gans.priors import Categorical, Categories, CategoriesFactory, Normal, PriorFactory
from lightning_gans.ranges import (
    CategoryCount,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SmallCount,
    Width,
)


class CategoricalInfoGAN(AdversarialModule, Generates, Clusters):
    """GAN whose classifier recovers a categorical latent (Chen et al. 2016; thesis, Eq. 9-14).

    Generator and classifier both minimise the classification loss. P(C) must be known:
    ``Categorical`` with its ``probabilities``. With ``GumbelSoftmax`` the probabilities are learnt
    by gradient descent, and it is Elastic InfoGAN (Ojha et al. 2020). Its conditions are soft
    and are also the classifier's targets, so the gradient reaches P(C) both ways.

    With a weight ``contrastive`` the classifier's features of a real image and of the same image
    after a transformation that preserves its category are to be alike, and unlike those of the
    other images of the batch, of this process. Only the classifier minimises this loss. The thesis
    leaves it out, since such transformations have to be known.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        latent_dim: size of the continuous latent.
        num_categories: how many categories a label has.
        num_labels: how many labels.
        generator: makes the generator from (latent_dim, image_shape, classes); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator, and the classifier, which share nothing, from
            (image_shape, scores, code_dim); likewise.
        prior: makes the prior of the continuous latent from its size.
        categories: makes P(C) from the classes, ``Categorical`` or ``GumbelSoftmax``.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's and classifier's, if not the same.
        categories_lr: learning rate of P(C)'s logits, if they are learnt; the generator's without.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        r1: weight of the squared gradient norm at real data (no factor of a half).
        r2: weight of the squared gradient norm at fakes.
        classification: weight of both players' cross-entropy, λ_cls.
        contrastive: weight of the classifier's contrastive loss on real images; 10 in the authors'
            code, for digits.
        contrastive_temperature: by which similarities are divided; 1 in the authors' code.
        transformation: makes the transformation that preserves categories.
        warmup: iterations in which P(C) is not learnt.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.
    """

    categories: Categories
    discriminator: Separate

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        latent_dim: Width = 256,
        num_categories: CategoryCount = 4,
        num_labels: SmallCount = 1,
        generator: ConditionalGeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = Normal,
        categories: CategoriesFactory = Categorical,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        categories_lr: NonNegativeFloat | None = None,
        loss: LossFactory = NonSaturating,
        r1: NonNegativeFloat = 0.0,
        r2: NonNegativeFloat = 1.0,
        classification: NonNegativeFloat = 1.0,
        contrastive: NonNegativeFloat = 0.0,
        contrastive_temperature: PositiveFloat = 1.0,
        transformation: AugmentationFactory = IdentityPreserving,
        warmup: NonNegativeInt = 60_000,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.loss = tuple(image_shape), loss()
        self.classes = (num_categories,) * num_labels
        self.categories_lr, self.warmup = categories_lr, warmup
        self.r1, self.r2, self.classification = r1, r2, classification
        self.contrastive, self.contrastive_temperature = contrastive, contrastive_temperature
        self.transformation = transformation()
        self.prior, self.categories = (
            require_untraced_prior("CategoricalInfoGAN", prior(latent_dim)),
            categories(self.classes),
        )
        if categories_lr is not None and not list(self.categories.parameters()):
            raise ValueError(
                f"categories_lr={categories_lr} is a rate for learnt probabilities, and those of "
                f"{type(self.categories).__name__} are not learnt; leave it out, or choose "
                "GumbelSoftmax"
            )
        self.generator = build_generator(generator, latent_dim, self.image_shape, self.classes)
        self.discriminator = Separate(self.image_shape, 1, sum(self.classes), trunk=discriminator)

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """The player's parameters; P(C)'s logits are a group with its own rate."""
        (group,) = super().parameter_groups(player)
        logits = list(self.categories.parameters())
        if player == "discriminator" or not logits or self.categories_lr is None:
            return [group]
        rest = [p for p in group["params"] if all(p is not q for q in logits)]
        return [{"params": rest}, {"params": logits, "lr": self.categories_lr}]

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Eq. 9-14."""
        x, n = batch[0].detach(), len(batch[0])
        critic, encoder = self.discriminator.adversary, self.discriminator.encoder

        with self.turn("discriminator") as minimize:
            z, c = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            x, y = x.requires_grad_(), self.generator(z, c).requires_grad_()
            real, fake = critic(self.augment(x)).score, critic(self.augment(y)).score
            terms = {
                "adversarial": (self.loss.real(real) + self.loss.fake(fake)).mean(),
                "classification": self.classification
                * cross_entropy(encoder(y).code, c, self.classes).mean(),
            }
            if self.r1:
                terms["r1"] = gradient_penalty(real, x, weight=self.lazy_weight(self.r1))
            if self.r2:
                terms["r2"] = gradient_penalty(fake, y, weight=self.lazy_weight(self.r2))
            if self.contrastive:
                same = self.change(x.detach(), self.transformation, "transformation")
                own, others = encoder(torch.cat([x.detach(), same])).features.chunk(2)
                terms["contrastive"] = (
                    self.contrastive
                    * contrastive_loss(own, others, self.contrastive_temperature).mean()
                )
            minimize(**terms)

        with self.turn("generator") as minimize:
            z, c = self.prior.sample(n, self.random), self.categories.sample(n, self.random)
            if self.global_step < self.warmup:
                c = c.detach()
            y = self.generator(z, c)
            fake = critic(self.augment(y)).score
            minimize(
                adversarial=self.loss.generator(fake).mean(),
                classification=self.classification
                * cross_entropy(encoder(y).code, c, self.classes).mean(),
            )

    def class_logits(self, x: Tensor) -> Tensor:
        """Logits of the categories of x, (n, sum(classes)); unchecked, gradients flow."""
        logits: Tensor = self.discriminator.encoder(x).code
        return logits
