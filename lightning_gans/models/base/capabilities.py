"""What a trained model can do: small abstract classes, tested for with ``isinstance``.

A model derives from those that its method supports, and from no others::

    if isinstance(model, Encodes):
        code = model.encode(x)

A new model that derives from :class:`Reconstructs` is evaluated, inverted and scored like the
others.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError, UserError
from lightning_gans.labels import Classes, classes_of
from lightning_gans.priors import Categories, Prior, Traced
from lightning_gans.validation import as_input, check_count, check_images, check_shape, clip

AVERAGES_AND_V = (
    "these weights are averages, and the variance v was traced from codes of weights that are not: "
    "likelihoods under v separate anomalous images less well; train with ema.decay=0 for them"
)
"""The one line about likelihood scores of averaged weights."""

Method = TypeVar("Method", bound=Callable[..., Any])
_MARK = "is_capability"


class NotCapable(UserError, AttributeError):
    """A model was asked for something that its method does not support."""


def capability(method: Method) -> Method:
    """Decorate a method that users call on a trained model.

    It takes no part in gradients, and its name is listed in ``model.capabilities``.
    """
    decorated: Method = torch.no_grad()(method)
    setattr(decorated, _MARK, True)
    return decorated


class Encoding(NamedTuple):
    """What an encoder predicts from images.

    Attributes:
        code: unscaled, (n, latent_dim).
        features: the layer before the code, (n, num_features).
        variance: the predicted variance of the code, (n, latent_dim); None if the encoder predicts
            none.
    """

    code: Tensor
    features: Tensor
    variance: Tensor | None = None


class Capability(nn.Module, ABC):
    """The base of all capabilities.

    Attributes:
        image_shape: of one image (channels, height, width), or (2,) for points.
        has_averages: whether the weights are averages that differ from those of the last iteration,
            as :func:`~lightning_gans.load` gives them.
        class_names: of the classes of each label of the data; None if they have no names.
    """

    image_shape: tuple[int, ...]
    has_averages: bool = False
    class_names: tuple[tuple[str, ...], ...] | None = None

    def _images(self, x: Tensor) -> Tensor:
        """Images that a user gave, in the type of the weights.

        Raises:
            InputError: if they are of another shape, range or type, not finite, or elsewhere.
        """
        x = self._input(x, "images")
        check_images(x, self.image_shape)
        return x

    def _input(self, values: Tensor, what: str) -> Tensor:
        return as_input(values, next(self.parameters(), None), what)


class Decodes(Capability, ABC):
    """Turns latents into images.

    Attributes:
        generator: maps scaled latents, and a class-conditional model's conditions, to images.
        prior: of the continuous latent.
        categories: the distribution of a class-conditional model's conditions; otherwise None.
    """

    generator: nn.Module
    prior: Prior
    categories: Categories | None

    @capability
    def decode(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Generate the images of latents, in [-1, 1]; points are not clipped.

        Args:
            z: (n, latent_dim).
            c: the conditions of a class-conditional model, (n, sum(classes)).

        Returns:
            (n, *image_shape).

        Raises:
            ValueError: if a shape is wrong, a value is not finite, or there is a condition and the
                model is not class-conditional.
        """
        z = self._input(z, "latents")
        check_shape(z, (self.prior.dim,), "latents")
        latents = [z * self.prior.scale()]
        if self.categories is not None:
            latents.append(self._conditions(c, self.categories.classes, len(z)))
        elif c is not None:
            raise InputError(f"{type(self).__name__} is not class-conditional: omit c")
        return clip(self.generator(*latents))

    def _conditions(self, c: Tensor | None, classes: Classes, n: int) -> Tensor:
        if c is None:
            raise InputError(f"{type(self).__name__} is class-conditional: give a condition c")
        # one-hot vectors are often integers
        whole = isinstance(c, Tensor) and not c.is_floating_point() and not c.is_complex()
        c = self._input(c.float() if whole else c, "conditions")
        check_shape(c, (sum(classes),), "conditions")
        if len(c) != n:
            raise InputError(f"expected {n} conditions, as many as latents, got {len(c)}")
        return c


class Generates(Decodes, ABC):
    """Draws images: the distribution of its latents is known."""

    @capability
    def generate(
        self,
        n: int,
        generator: torch.Generator | None = None,
        category: int | Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        """Draw ``n`` images, (n, *image_shape), in [-1, 1].

        Args:
            n: how many.
            generator: the random stream to draw from; by default torch's global one.
            category: for class-conditional models: one for all images, or (n,); for several labels
                (labels,) or (n, labels). Drawn from P(C) by default.

        Raises:
            UserError: if a category is given, and the model is not class-conditional.
            ValueError: if ``n`` is below 1, a category is out of range, or the random stream is of
                another device.
        """
        check_count(n)
        self._check_stream(generator)
        z = self.prior.sample(n, generator)
        if self.categories is None:
            if category is not None:
                raise UserError(f"{type(self).__name__} is not class-conditional: omit category")
            return self.decode(z)
        if category is None:
            return self.decode(z, self.categories.sample(n, generator))
        return self.decode(z, self.categories.condition(category, n))

    def _check_stream(self, generator: torch.Generator | None) -> None:
        device = self.prior.device
        if generator is not None and not isinstance(generator, torch.Generator):
            raise InputError(f"expected a torch.Generator, got {type(generator).__name__}")
        if generator is not None and generator.device.type != device.type:
            raise InputError(
                f"expected a generator on {device}, where the model is, got one on "
                f"{generator.device}"
            )


class Encodes(Capability, ABC):
    """Predicts the latents of images.

    Attributes:
        predicts_variance: whether :meth:`encoding` has a variance.
    """

    predicts_variance: ClassVar[bool] = False

    @abstractmethod
    def encoding(self, x: Tensor) -> Encoding:
        """The encoder's output for x, (n, *image_shape), in one pass; unchecked, gradients flow."""

    @capability
    def encode(self, x: Tensor) -> Tensor:
        """Encode images, (n, *image_shape) in [-1, 1], as codes, (n, latent_dim).

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return self.encoding(self._images(x)).code


class Reconstructs(Encodes, Decodes, ABC):
    """Encodes images and decodes their codes."""

    @capability
    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode images and decode their codes, (n, *image_shape) to (n, *image_shape).

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return self.decode(self.encode(x))


class ScoresOOD(Encodes, ABC):
    """Scores how anomalous images are, from the variance of codes that its prior traces."""

    prior: Prior

    @capability
    def ood_score(self, x: Tensor) -> Tensor:
        """Score images, (n, *image_shape) to (n,); more anomalous ones score higher (AnoDLSGAN).

        The negative log likelihood of their codes under the traced variance, in nats and in closed
        form (thesis, Eq. 37).

        Raises:
            UserError: if the model's prior traces no variance, or is not normal.
            ValueError: if x has another shape or range, or a value is not finite.
        """
        if not isinstance(self.prior, Traced):
            raise UserError(
                f"{type(self).__name__} scores by a traced variance, and its prior "
                f"{type(self.prior).__name__} traces none; train with DynamicScale or FixedScale"
            )
        if self.has_averages:
            warnings.warn(AVERAGES_AND_V, stacklevel=3)  # where it is called, below the decorator
        return self.prior.negative_log_likelihood(self.encode(x))


EditUnit: TypeAlias = Literal["std", "sqrt_dim"]
"""What 1 is in the strength of an edit.

``std`` is a standard deviation of the attribute's own score under the prior, ‖s∘w‖; ``sqrt_dim`` is
√latent_dim, which that is on average, as in (thesis, section 4.2.3).
"""


class Edits(Reconstructs, ABC):
    """Changes attributes of images."""

    @property
    def attribute_names(self) -> list[str]:
        """The names of the attributes, in the order of their scores; none if they have no names.

        A label of two classes is one attribute, called like its second class; each class of other
        labels is one.
        """
        return [
            name
            for label in self.class_names or ()
            for name in (label[1:] if len(label) == 2 else label)
        ]

    @capability
    def edit(
        self,
        x: Tensor,
        attribute: int,
        strength: float | Tensor,
        keep_others: bool = True,
        unit: EditUnit = "std",
    ) -> Tensor:
        """Give images more or less of an attribute, (n, *image_shape) to (n, *image_shape).

        Args:
            x: images, (n, *image_shape), in [-1, 1].
            attribute: the index of the attribute, in the order of the labels.
            strength: positive to add the attribute, negative to remove it; one number, or (n,).
            keep_others: whether all other attributes keep their values.
            unit: of the strength: "std" for standard deviations of the attribute's score under
                the prior, "sqrt_dim" for √latent_dim.

        Raises:
            ValueError: if there is no such attribute or unit, or x has another shape or range.
        """
        return self.decode(
            self.edit_latents(self.encode(x), attribute, strength, keep_others, unit)
        )

    @capability
    @abstractmethod
    def edit_latents(
        self,
        z: Tensor,
        attribute: int,
        strength: float | Tensor,
        keep_others: bool = True,
        unit: EditUnit = "std",
    ) -> Tensor:
        """Latents of images with more or less of an attribute, (n, latent_dim) to the same.

        Arguments and errors are those of :meth:`edit`, with latents instead of images.
        """

    @capability
    @abstractmethod
    def attribute_strengths(self, z: Tensor, unit: EditUnit = "std") -> Tensor:
        """How strong the attributes of latents are, (n, latent_dim) to (n, attributes).

        An edit of this strength changes nothing.

        Args:
            z: (n, latent_dim).
            unit: of the strengths, as in :meth:`edit`.

        Raises:
            ValueError: if there is no such unit, or z has another shape.
        """


class PredictsLogits(Capability, ABC):
    """Predicts logits: of labels (:class:`Classifies`), or of found categories (:class:`Clusters`).

    Attributes:
        classes: how many classes each label has.
    """

    classes: Classes

    @abstractmethod
    def class_logits(self, x: Tensor) -> Tensor:
        """Logits of the classes of x, (n, sum(classes)); unchecked, gradients flow."""


class Clusters(PredictsLogits, ABC):
    """Assigns images to categories that it found without labels."""

    @capability
    def cluster(self, x: Tensor) -> Tensor:
        """The categories of images, (n, *image_shape) to (n,); (n, labels) for several labels.

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return classes_of(self.class_logits(self._images(x)), self.classes)


class Classifies(PredictsLogits, ABC):
    """Predicts the classes of images; trained on labels."""

    @capability
    def classify(self, x: Tensor) -> Tensor:
        """The classes of images, (n, *image_shape) to (n,); (n, labels) for several labels.

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return classes_of(self.class_logits(self._images(x)), self.classes)


class ClassifiesByFeatures(Classifies, ABC):
    """Classifies with one linear layer on non-negative features, which ReAct can clip.

    Attributes:
        head: the linear layer, (n, num_features) to (n, sum(classes)).
    """

    head: nn.Module

    @abstractmethod
    def activations(self, x: Tensor) -> Tensor:
        """The features of x, (n, num_features), at least 0; unchecked, gradients flow."""

    def class_logits(self, x: Tensor) -> Tensor:
        """Logits of the classes of x, (n, sum(classes)); unchecked, gradients flow."""
        logits: Tensor = self.head(self.activations(x))
        return logits

    @capability
    def logits(self, x: Tensor) -> Tensor:
        """Logits of the classes, (n, *image_shape) to (n, sum(classes)), label by label.

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return self.class_logits(self._images(x))

    @capability
    def features(self, x: Tensor) -> Tensor:
        """The features below the logits, (n, *image_shape) to (n, num_features), at least 0.

        Raises:
            ValueError: if x has another shape or range, or a value is not finite.
        """
        return self.activations(self._images(x))


# in the order in which a model's capabilities are listed
CAPABILITIES: tuple[type[Capability], ...] = (
    Generates,
    Decodes,
    Encodes,
    Reconstructs,
    Edits,
    Classifies,
    ClassifiesByFeatures,
    Clusters,
    ScoresOOD,
)


def capabilities(model: type[nn.Module]) -> tuple[str, ...]:
    """The names of the methods that users can call on models of a class, in order.

    >>> capabilities(Reconstructs)
    ('decode', 'encode', 'reconstruct')
    """
    own = [c for c in model.__mro__ if c not in CAPABILITIES]
    known = [c for c in CAPABILITIES if issubclass(model, c)]
    marked = [n for c in (*known, *own) for n, v in vars(c).items() if getattr(v, _MARK, False)]
    return tuple(dict.fromkeys(marked))


def not_capable(model: type[nn.Module], name: str) -> NotCapable | None:
    """The error of asking a model for ``name``, if that is a method of some capability."""
    bases = [base for c in CAPABILITIES for base in c.__mro__ if issubclass(base, Capability)]
    for base in bases:
        if callable(vars(base).get(name)) and not name.startswith("_"):
            return NotCapable(
                f"{model.__name__} does not support {name}(); it supports "
                f"{', '.join(f'{n}()' for n in capabilities(model))}"
            )
    return None
