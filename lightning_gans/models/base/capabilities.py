"""What a trained model can be asked for."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError, UserError
from lightning_gans.labels import Classes, classes_of
from lightning_gans.priors import Categories, Prior, Traced
from lightning_gans.validation import check_images, check_shape, clip


class Capabilities(nn.Module, ABC):
    """Generate, decode, encode, reconstruct, cluster, classify, score: those that a method has.

    They take no part in gradients; for those use the networks.

    Attributes:
        verbs: what a trained model of this class can be asked for, by the names of the methods.
        image_shape: of one image (channels, height, width), or (2,) for points.
        classes: of class-conditional models and classifiers, how many classes each label has.
        prior: of the continuous latent.
        categories: of the condition, for class-conditional models.
    """

    verbs: ClassVar[tuple[str, ...]] = ()
    image_shape: tuple[int, ...]
    classes: Classes
    generator: nn.Module
    prior: Prior
    categories: Categories | None

    def _must(self, verb: str, why: str) -> None:
        if verb not in self.verbs:
            raise UserError(
                f"{type(self).__name__} {why}; it can be asked to {', '.join(self.verbs)}"
            )

    @torch.no_grad()
    def generate(
        self,
        n: int,
        generator: torch.Generator | None = None,
        category: int | Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        """Draw ``n`` images, (n, *image_shape), in [-1, 1].

        Args:
            n: how many.
            generator: the random stream to draw from; torch's own without.
            category: of class-conditional models: one for all, or (n,); for several labels
                (labels,) or (n, labels). Drawn from P(C) without.

        Raises:
            UserError: if the model does not generate, or not by category.
            ValueError: if a category is out of range.
        """
        self._must("generate", "generates no images")
        z = self.prior.sample(n, generator)
        if self.categories is None:
            if category is not None:
                raise UserError(f"{type(self).__name__} is not class-conditional: leave category")
            return self.decode(z)
        if category is None:
            return self.decode(z, self.categories.sample(n, generator))
        return self.decode(z, self.categories.condition(category, n))

    @torch.no_grad()
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """The images of latents, in [-1, 1]. Points, which are no images, are not clipped.

        Args:
            z: (n, latent_dim).
            c: (n, sum(classes)), the conditions of a class-conditional model.

        Returns:
            (n, *image_shape).

        Raises:
            UserError: if the model does not decode.
            ValueError: if a shape is wrong, or a number is not finite.
        """
        self._must("decode", "decodes no latents")
        check_shape(z, (self.prior.dim,), "latents")
        latents = [z * self.prior.scale()]
        if self.categories is not None:
            if c is None:
                raise InputError(f"{type(self).__name__} decodes a latent with a condition c")
            check_shape(c, (sum(self.categories.classes),), "conditions")
            latents.append(c)
        return clip(self.generator(*latents))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of images: (n, *image_shape) in [-1, 1] to (n, latent_dim).

        Raises:
            UserError: if the method trains no encoder.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("encode", "has no encoder of images")
        check_images(x, self.image_shape)
        return self.read(x)

    def read(self, x: Tensor) -> Tensor:
        """What the encoder reads of x, (n, latent_dim); unchecked, and gradients flow."""
        raise UserError(f"{type(self).__name__} has no encoder of images")

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the codes of images, (n, *image_shape) to the same.

        Raises:
            UserError: if the method trains no encoder.
        """
        self._must("reconstruct", "reconstructs no images")
        return self.decode(self.encode(x))

    @torch.no_grad()
    def cluster(self, x: Tensor) -> Tensor:
        """The categories of images, (n, *image_shape) to (n,), or (n, labels) of several labels.

        Raises:
            UserError: if the model finds no categories.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("cluster", "finds no categories in images")
        check_images(x, self.image_shape)
        return classes_of(self.read_classes(x), self.classes)

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """The predicted classes of images, (n, *image_shape) to (n,), or (n, labels) of several.

        Raises:
            UserError: if the model predicts no classes.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("classify", "predicts no classes of images")
        check_images(x, self.image_shape)
        return classes_of(self.read_classes(x), self.classes)

    def read_classes(self, x: Tensor) -> Tensor:
        """Logits of the classes or categories of x, (n, sum(classes)); unchecked."""
        raise UserError(f"{type(self).__name__} tells no classes")

    @torch.no_grad()
    def ood_score(self, x: Tensor) -> Tensor:
        """How strange images are, (n, *image_shape) to (n,): higher is stranger (AnoDLSGAN).

        The negative log likelihood of their codes under the traced variance, in nats and in closed
        form (thesis, Eq. 37).

        Raises:
            UserError: if the model has no such score, or its prior traces no variance.
            ValueError: if x has another shape or range, or a number is not finite.
        """
        self._must("ood_score", "has no score of how strange images are")
        if not isinstance(self.prior, Traced):
            raise UserError(
                f"{type(self).__name__} scores by a traced variance, which its prior "
                f"{type(self.prior).__name__} does not keep; train with DynamicScale or FixedScale"
            )
        return self.prior.negative_log_likelihood(self.encode(x))
