"""A trained model's OOD scores of images, from one pass of each of its networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data.reading import read
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError, UserError
from lightning_gans.inversion.networks import frozen
from lightning_gans.models import ClassifiesByFeatures, Model
from lightning_gans.models.base.capabilities import AVERAGES_AND_V
from lightning_gans.ood.batches import batches
from lightning_gans.ood.scores import SCORES, ForwardPasses, react_threshold
from lightning_gans.rng import stream
from lightning_gans.threads import pace
from lightning_gans.validation import as_input, check_images


class Default(NamedTuple):
    """The score of a model that decides if none is asked for.

    Attributes:
        name: of the score.
        why: it is this one, for a line to the user.
    """

    name: str
    why: str


class Scorer:
    """Scores of images by a trained model; the higher, the more anomalous.

    Args:
        model: a trained one; in evaluation mode while it scores.
        names: which scores to give, such as ``("nll",)``; without, :attr:`defaults`.
        thresholds: what an earlier :meth:`fit` found.

    Attributes:
        model: the model.
        available: the names of all scores that the model has.
        thresholds: at which ReAct clips features, by percentile; empty until they are known.

    Raises:
        UserError: if the model has no score at all, as a GAN without an encoder.
        InputError: if the model has no score of a name.
    """

    def __init__(
        self,
        model: Model,
        names: Sequence[str] | None = None,
        thresholds: Mapping[float, float] | None = None,
    ) -> None:
        self.model = model
        self.thresholds = dict(thresholds or {})
        self._scores = {score.name: score for score in SCORES if score.applies_to(model)}
        self.available = tuple(self._scores)
        if not self.available:
            raise UserError(
                f"a {type(model).__name__} has no OOD score: it neither encodes nor classifies "
                "images; take a model that does, such as DLSGAN, Autoencoder or Classifier"
            )
        for name in names or ():
            if name not in self._scores:
                raise InputError(
                    f"{type(model).__name__} has no score '{name}'; it has "
                    f"{', '.join(self.available)}"
                )
        self._names = names

    @property
    def defaults(self) -> tuple[str, ...]:
        """The names of the scores that are given if none are asked for: those that cost little.

        Without those whose thresholds :meth:`fit` has yet to find.
        """
        return tuple(
            name
            for name, score in self._scores.items()
            if score.by_default
            and (score.percentile is None or score.percentile in self.thresholds)
        )

    @property
    def default(self) -> Default:
        """The one score that decides if none is asked for, and why.

        The likelihood of the code needs the variance v of the codes of the very encoder that scores
        the image. v was traced during training, from codes of the weights before they were
        averaged; the reconstruction does not depend on it.
        """
        needs_v = [n for n, score in self._scores.items() if score.needs_traced_variance]
        kind = type(self.model).__name__
        if not needs_v:
            return Default(self.defaults[0], f"the first score of a {kind}")
        if self.model.has_averages and "reconstruction" in self.defaults:
            return Default(
                "reconstruction",
                "with averaged weights, the likelihood of a code (nll) is not reliable",
            )
        return Default("nll", f"the likelihood of the code under the variance that {kind} traces")

    @property
    def warning(self) -> str | None:
        """What is wrong with the scores that are given, in one line; None if nothing is."""
        affected = [name for name in self.names if self._scores[name].needs_traced_variance]
        if not affected or not self.model.has_averages:
            return None
        return (
            f"{', '.join(affected)}: {AVERAGES_AND_V}; a score such as reconstruction is not "
            "affected"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the scores that a call gives, in order."""
        return self.defaults if self._names is None else tuple(self._names)

    @property
    def percentiles(self) -> tuple[float, ...]:
        """The percentiles of training features that the model's scores need, if any."""
        needed = (score.percentile for score in self._scores.values())
        return tuple(dict.fromkeys(p for p in needed if p is not None))

    def needs_fit(self) -> bool:
        """Whether a score that is asked for needs :meth:`fit`, which has not been called."""
        percentiles = (self._scores[name].percentile for name in self.names)
        return any(p is not None and p not in self.thresholds for p in percentiles)

    def fit(self, training: Iterable[Tensor]) -> None:
        """Find the thresholds of ReAct among the features of training images (Sun et al. 2021).

        Models without such scores need none, and nothing happens.

        Args:
            training: batches (n, *image_shape) in [-1, 1]; a few thousand images are enough.

        Raises:
            InputError: if there are none, or they are no such images.
        """
        if not isinstance(self.model, ClassifiesByFeatures):
            return
        found = []
        with frozen(self.model), torch.no_grad():
            for x in training:
                pace()
                check_images(x, self.model.image_shape, "training images")
                found.append(self.model.activations(x.to(self.model.device)).cpu())
        if not found:
            raise InputError("expected training images to find the thresholds of ReAct, got none")
        features = torch.cat(found)
        self.thresholds = {p: react_threshold(features, p) for p in self.percentiles}

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Images (n, *image_shape) in [-1, 1] to the scores by name, each (n,).

        The encoder sees an image once, however many scores there are.

        Raises:
            InputError: if x has another shape or range, a value is non-finite, or a score that
                was asked for needs :meth:`fit` first.
        """
        pace()
        x = as_input(x, next(self.model.parameters()), "images")
        if not is_valid(x, self.model.image_shape):
            check_images(x, self.model.image_shape)  # its message says what is wrong
        with frozen(self.model), torch.no_grad():
            passes = ForwardPasses(self.model, x, self.thresholds)
            return {name: self._scores[name](passes) for name in self.names}

    def is_batch_independent(self) -> bool:
        """Whether the scores of an image are the same whatever else is in its batch."""
        noise = torch.rand(4, *self.model.image_shape, generator=stream("ood/separate", seed=0))
        x = (noise * 2 - 1).to(self.model.device)
        batch, single = self(x), [self(x[i : i + 1]) for i in range(len(x))]
        return all(
            torch.allclose(values, torch.cat([one[name] for one in single]), rtol=1e-3, atol=1e-5)
            for name, values in batch.items()
        )


def scorer(model: Model, names: Sequence[str] | None = None) -> Scorer:
    """The scores of a trained model.

    Args:
        model: one that encodes images, or tells classes or categories.
        names: which scores, such as ``("nll",)``; without, all that cost little.

    Raises:
        UserError: if the model has no score, as a GAN without an encoder.
        InputError: if the model has no score of a name.

    Example::

        score = scorer(lightning_gans.load("runs/dlsgan/mnist/TIME"))
        score(x)["nll"]  # images (n, 1, 32, 32) in [-1, 1] to (n,), higher if more anomalous
    """
    return Scorer(model, names)


def score_all(scorer: Scorer, images: Dataset[Batch], batch_size: int = 250) -> dict[str, Tensor]:
    """The scores of all images of a dataset of (x, y), in order; each (n,), on the CPU.

    Raises:
        InputError: as the scorer, and if there are no images.
    """
    found = [scorer(x.to(scorer.model.device)) for x, _ in batches(images, batch_size)]
    if not found:
        raise InputError("expected images to score, got none")
    return {name: torch.cat([batch[name].cpu() for batch in found]) for name in scorer.names}


class Scored(NamedTuple):
    """The scores of some images of a dataset.

    Attributes:
        scores: by name, each (n,) on the CPU; NaN for images without a score.
        reasons: by their numbers in the dataset, why images have no score.
    """

    scores: dict[str, Tensor]
    reasons: dict[int, str]


def score_some(
    scorer: Scorer, images: Dataset[Batch], indices: Sequence[int], batch_size: int = 250
) -> Scored:
    """The scores of some images of a dataset, without those that cannot be read or scored.

    Args:
        scorer: of a trained model.
        images: the dataset.
        indices: the numbers of the images, n of them.
        batch_size: how many images are scored at once.
    """
    found: list[Mapping[str, Tensor]] = []
    reasons: dict[int, str] = {}
    for start in range(0, len(indices), batch_size):
        chosen = indices[start : start + batch_size]
        there = read(images, chosen)
        scores, failed = scores_of(scorer, there.x, batch_size)
        reasons |= there.reasons | {there.indices[i]: why for i, why in failed.items()}
        found.append(spread(scores, there.indices, chosen))
    return Scored(joined(found, scorer.names), reasons)


def scores_of(
    scorer: Scorer, x: Tensor, batch_size: int
) -> tuple[Mapping[str, Tensor], dict[int, str]]:
    """The scores of images (n, *shape) by name, each (n,) on the CPU, and why some have none.

    Where a batch cannot be scored, its images are scored one by one; those that fail have NaN.
    """
    found, reasons = [], dict[int, str]()
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size].to(scorer.model.device)
        try:
            found.append(checked(scorer(part)))
        except InputError:
            for i, image in enumerate(part, start):
                try:
                    found.append(checked(scorer(image[None])))
                except InputError as error:
                    reasons[i] = str(error)
                    found.append(dict.fromkeys(scorer.names, torch.full((1,), torch.nan)))
    return joined(found, scorer.names), reasons


def checked(scores: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Scores on the CPU.

    Raises:
        InputError: if one is not finite.
    """
    for name, values in scores.items():
        if not values.isfinite().all():
            raise InputError(f"the score {name} is not finite")
    return {name: values.cpu() for name, values in scores.items()}


def joined(parts: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> dict[str, Tensor]:
    """The scores of all parts, one after another."""
    return {name: torch.cat([part[name] for part in parts] or [torch.empty(0)]) for name in names}


def spread(
    scores: Mapping[str, Tensor], indices: Sequence[int], places: Sequence[int]
) -> dict[str, Tensor]:
    """Scores (k,) of images by number, as values (n,) at the places of n numbers; NaN elsewhere."""
    position = {index: i for i, index in enumerate(places)}
    at = torch.tensor([position[index] for index in indices], dtype=torch.long)
    spread_out = {}
    for name, values in scores.items():
        spread_out[name] = values.new_full((len(places),), torch.nan)
        spread_out[name][at] = values
    return spread_out


def is_valid(x: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether images pass :func:`check_images`, which takes several passes over the pixels."""
    if x.shape[1:] != shape or not x.numel() or not x.is_floating_point():
        return False
    # both are NaN if any pixel is, and NaN passes no comparison
    low, high = x.aminmax()
    return bool(low >= -1) and bool(high <= 1)
