"""Attribute editing DLSGAN: a fixed linear classifier of the latent defines the attributes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor

from lightning_gans.augmentation import AugmentationFactory, NoAugmentation
from lightning_gans.labels import ActivationFactory, PerLabel, one_hot
from lightning_gans.losses import LossFactory, NonSaturating, gradient_penalty
from lightning_gans.models.base.adversarial import AdversarialModule, EncodesByDiscriminator
from lightning_gans.models.base.capabilities import (
    Edits,
    EditUnit,
    Generates,
    ScoresOOD,
    capability,
)
from lightning_gans.models.base.linear_attributes import LinearAttributes
from lightning_gans.models.base.model import Batch
from lightning_gans.models.base.requirements import require_labels
from lightning_gans.networks import (
    DiscriminatorFactory,
    GeneratorFactory,
    build_discriminator,
    build_generator,
)
from lightning_gans.optimizers import AdamW
from lightning_gans.priors import DynamicScale, PriorFactory
from lightning_gans.ranges import NonNegativeFloat, PositiveInt, Width
from lightning_gans.validation import check_shape


class AEDLSGAN(AdversarialModule, Generates, Edits, ScoresOOD, EncodesByDiscriminator):
    """DLSGAN in which attributes are half-spaces of the latent (thesis, Algorithm 3).

    A linear classifier of the scaled latent is drawn at random and never changes. It determines the
    attributes of each fake, and a CAGAN trains the generator to show them. The latent of an image
    can then be moved along a weight vector to give the image an attribute.

    A label of two classes (has Bangs, has not) is one weight vector w, and present where
    (z∘s)·w + b > 0; a label of more classes has one weight vector for each, of which the largest
    wins (Eq. 36, which has one such label; the published code has three binary ones). The bias b is
    0 by default, as in the thesis's experiments. Then a binary attribute is present in half of the
    fakes, whatever it is in the data; classes of other labels are about as common as one another,
    and less so as fewer elements keep a scale. With b it is present in the share
    Φ(b / ‖s∘w‖) of the fakes, where ‖s∘w‖ is about √latent_dim: for a share of 0.15 in a latent of
    1024 elements b is -1.036·32 = -33.

    The adversarial loss of several labels is the mean of the labels' own, as in the published code
    (``PerLabel``); Algorithm 3 to the letter is ``Summed``. r1 is of the mean over losses;
    the thesis's settings mean 10, the published code takes 30.

    Args:
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: how many classes each label of the data has.
        latent_dim: size of the latent.
        generator: makes the generator from (latent_dim, image_shape); by default
            convolutions for images and fully connected layers for points.
        discriminator: makes the discriminator from (image_shape, scores, code_dim); likewise.
        prior: makes the prior from its size.
        optimizer: makes an optimiser from parameters.
        discriminator_optimizer: makes the discriminator's, if not the same.
        loss: makes the adversarial loss, e.g. ``LeastSquares``.
        activation: makes what the scores of several labels become, ``PerLabel`` or ``Summed``.
        bias: b of Eq. 36, a number for each label of two classes and for each class of others.
        r1: weight of the squared gradient norm at real data, λ_r1 (no factor of a half).
        latent: weight of L_enc, λ_enc, for both players unless ``generator_latent`` is given.
        generator_latent: that of the generator, if not the same.
        penalty_interval: iterations between penalties of the discriminator's gradients, which also
            multiplies their weight (lazy regularisation, Karras et al. 2020). 1 in the thesis.
        augmentation: makes the random change of the images that the discriminator sees, such as
            ``DiffAugment``.

    Raises:
        ValueError: if the data have no labels.
    """

    uses_labels = True

    def __init__(
        self,
        image_shape: tuple[Width, ...],
        classes: tuple[Width, ...],
        latent_dim: Width = 1024,
        generator: GeneratorFactory | None = None,
        discriminator: DiscriminatorFactory | None = None,
        prior: PriorFactory = DynamicScale,
        optimizer: OptimizerCallable = AdamW,
        discriminator_optimizer: OptimizerCallable | None = None,
        loss: LossFactory = NonSaturating,
        activation: ActivationFactory = PerLabel,
        bias: Sequence[float] | None = None,
        r1: NonNegativeFloat = 10.0,
        latent: NonNegativeFloat = 1.0,
        generator_latent: NonNegativeFloat | None = None,
        penalty_interval: PositiveInt = 1,
        augmentation: AugmentationFactory = NoAugmentation,
    ) -> None:
        super().__init__(optimizer, discriminator_optimizer, penalty_interval, augmentation)
        self.save_hyperparameters(logger=False)
        self.image_shape, self.classes = tuple(image_shape), require_labels("AEDLSGAN", classes)
        self.loss, self.activation = loss(), activation()
        self.r1, self.latent = r1, latent
        self.generator_latent = latent if generator_latent is None else generator_latent
        self.prior = prior(latent_dim)
        self.attributes = LinearAttributes(latent_dim, self.classes, bias)
        self.generator = build_generator(generator, latent_dim, self.image_shape)
        self.discriminator = build_discriminator(
            discriminator, self.image_shape, scores=sum(self.classes), code_dim=latent_dim
        )

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Thesis, Algorithm 3."""
        x, c_r = batch[0], one_hot(batch[1], self.classes, batch[0].dtype, check=False)
        s = self.prior.scale()  # constant within an iteration

        with self.turn("discriminator") as minimize:
            x = x.detach().requires_grad_()
            z = self.prior.sample(len(x), self.random)
            c_f = self.attributes(z * s)
            real = self.discriminator(self.augment(x))
            fake = self.score_and_encode(self.generator(z * s))
            a_r = self.activation(real.score, c_r, self.classes)
            a_f = self.activation(fake.score, c_f, self.classes)
            minimize(
                adversarial=(self.loss.real(a_r) + self.loss.fake(a_f)).mean(),
                r1=gradient_penalty(a_r.mean(1), x, weight=self.lazy_weight(self.r1)),
                latent=self.latent * (s * (z - fake.code)).square().mean(),
            )
        seen = fake.code

        with self.turn("generator") as minimize:
            z = self.prior.sample(len(x), self.random)
            c_f = self.attributes(z * s)
            fake = self.score_and_encode(self.generator(z * s))
            a_f = self.activation(fake.score, c_f, self.classes)
            update = self.prior.start_update(torch.cat([seen, fake.code]))
            minimize(
                adversarial=self.loss.generator(a_f).mean(),
                latent=self.generator_latent * (s * (z - fake.code)).square().mean(),
            )

        update()

    @capability
    def edit_latents(
        self,
        z: Tensor,
        attribute: int,
        strength: float | Tensor,
        keep_others: bool = True,
        unit: EditUnit = "std",
    ) -> Tensor:
        """Latents moved along an attribute, (n, latent_dim) to the same.

        The scaled latent moves to where the classifier's score of the attribute is ``strength``.
        The thesis's edit has the unit "sqrt_dim", and does not keep other attributes.

        Args:
            z: (n, latent_dim).
            attribute: which of the classifier's scores: one for a label of two classes, one for
                each class of other labels, in the order of the labels.
            strength: positive to have the attribute, negative not to; -1 to 1 in the thesis. One
                number, or (n,).
            keep_others: whether all other scores stay where they are. If not, the latent moves
                along the attribute's own weights, the shortest way, which is the published move.
            unit: of the strength: "std" for standard deviations of the score under the prior,
                "sqrt_dim" for √latent_dim, which these are on average.

        Raises:
            ValueError: if there is no such attribute or unit, or z has another shape.
        """
        y, s = self._scaled(z)
        moved = self.attributes.move(y, s, attribute, strength, keep_others, unit)
        # an element without scale, which the generator does not see, stays where it is
        return z + ((moved - y) / s).where(s > 0, 0.0)

    @capability
    def attribute_strengths(self, z: Tensor, unit: EditUnit = "std") -> Tensor:
        """The classifier's scores of latents, (n, latent_dim) to (n, attributes).

        Args:
            z: (n, latent_dim).
            unit: of the strengths, as in :meth:`edit_latents`.

        Raises:
            ValueError: if there is no such unit, or z has another shape.
        """
        y, s = self._scaled(z)
        return self.attributes.scores(y) / self.attributes.units(s, unit)

    def _scaled(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latents as the generator sees them, and their scale."""
        z, s = self._input(z, "latents"), self.prior.scale()
        check_shape(z, (self.prior.dim,), "latents")
        return z * s, s
