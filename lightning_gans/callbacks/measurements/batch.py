"""A batch of an evaluation: real images, and what the model makes of them, computed once."""

from __future__ import annotations

from functools import cached_property
from typing import NoReturn

from torch import Tensor

from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.metrics import FeatureExtractor, to_uint8
from lightning_gans.models import Generates, Model, Reconstructs
from lightning_gans.validation import clip


class EvaluationBatch:
    """Real images with their labels, and as many fakes, reconstructions and features on demand.

    Each is computed when a measurement first asks for it, and then shared by all of them. Nothing
    has gradients.

    Args:
        model: the model, with its averaged weights.
        images: real ones, (n, *image_shape), in [-1, 1].
        labels: of the images, (n,) or (n, labels).
        indices: of the images in the whole validation set; they decide which latents are drawn.
        draws: the latents of this evaluation; None if the model does not generate.
    """

    def __init__(
        self, model: Model, images: Tensor, labels: Tensor, indices: range, draws: FixedDraws | None
    ) -> None:
        self.model = model
        self.images = images
        self.labels = labels
        self._indices = indices
        self._draws = draws
        self._features: dict[tuple[FeatureExtractor, bool], Tensor] = {}

    @cached_property
    def latents(self) -> tuple[Tensor, ...]:
        """The latents of the fakes, (n, latent_dim), and any conditions, (n, sum(classes)).

        Raises:
            TypeError: if the model does not generate.
        """
        if self._draws is None:
            self._refuse("generate")
        return self._draws.take(self._indices)

    @cached_property
    def unclipped_fakes(self) -> Tensor:
        """The generator's output for the latents, (n, *image_shape), which may leave [-1, 1].

        Raises:
            TypeError: if the model does not generate.
        """
        if not isinstance(self.model, Generates):
            self._refuse("generate")
        z, *c = self.latents
        fakes: Tensor = self.model.generator(z * self.model.prior.scale(), *c)
        return fakes

    @cached_property
    def fakes(self) -> Tensor:
        """As many fakes as there are images, (n, *image_shape), in [-1, 1]; points are not clipped.

        Raises:
            TypeError: if the model does not generate.
        """
        return clip(self.unclipped_fakes)

    @cached_property
    def reconstructions(self) -> Tensor:
        """Of the images, (n, *image_shape).

        Raises:
            TypeError: if the model does not reconstruct.
        """
        return self._reconstruct(self.images)

    @cached_property
    def fake_reconstructions(self) -> Tensor:
        """Of the fakes, (n, *image_shape).

        Raises:
            TypeError: if the model does not generate or does not reconstruct.
        """
        return self._reconstruct(self.fakes)

    def features(self, extractor: FeatureExtractor, real: bool) -> Tensor:
        """Features of the images or of the fakes, rounded to 8 bits, (n, num_features).

        Args:
            extractor: prepared.
            real: whether of the images.

        Raises:
            TypeError: if fakes are asked for and the model does not generate.
        """
        key = (extractor, real)
        if key not in self._features:
            self._features[key] = extractor(to_uint8(self.images if real else self.fakes))
        return self._features[key]

    def _reconstruct(self, images: Tensor) -> Tensor:
        if not isinstance(self.model, Reconstructs):
            self._refuse("reconstruct")
        return self.model.reconstruct(images)

    def _refuse(self, what: str) -> NoReturn:
        raise TypeError(
            f"{type(self.model).__name__} does not {what}; a measurement that needs it must ask "
            "for it in applies_to"
        )
