"""All that a trained model can tell of how strange images are, from one look at each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_gans.data.tensors import whole_batch
from lightning_gans.errors import InputError, UserError
from lightning_gans.models import Classifier, Model
from lightning_gans.ood.code_scorer import CodeScorer
from lightning_gans.ood.logit_scorer import ClassifierScorer, LogitScorer
from lightning_gans.ood.scorer import Scorer

__all__ = ["Scorer", "score_all", "scorer"]


def scorer(model: Model, names: Sequence[str] | None = None) -> Scorer:
    """The scorer of a trained model.

    Args:
        model: one that encodes, or tells classes or categories.
        names: which scores, e.g. ``("nll",)``; without, all that cost little.

    Raises:
        UserError: if the model can tell nothing of images, as a GAN without an encoder.
        InputError: if the model has no score of a name.

    Example::

        score = scorer(lightning_gans.load("runs/dlsgan/mnist/TIME"))
        score(x)["nll"]  # images (n, 1, 32, 32) in [-1, 1] to (n,), higher for what is stranger
    """
    if isinstance(model, Classifier):
        return ClassifierScorer(model, names)
    if {"encode", "reconstruct"} <= set(model.verbs):
        return CodeScorer(model, names)
    if {"classify", "cluster"} & set(model.verbs):
        return LogitScorer(model, names)
    raise UserError(
        f"a {type(model).__name__} cannot tell how strange images are, for it neither encodes nor "
        "classifies them; take a model that does, such as DLSGAN, Autoencoder or Classifier"
    )


def score_all(
    scorer: Scorer, images: Dataset[tuple[Tensor, Tensor]], batch_size: int = 250
) -> dict[str, Tensor]:
    """The scores of all images of a dataset of (x, y), in order; each (n,), on the processor.

    Raises:
        InputError: as the scorer, and if there are no images.
    """
    loader = DataLoader(
        images,
        batch_size=batch_size,
        collate_fn=whole_batch,
        # a loader draws a seed for its workers even if it has none: not from the global stream
        generator=torch.Generator(),
    )
    found = [scorer(x.to(scorer.model.device)) for x, _ in loader]
    if not found:
        raise InputError("expected images to score, got none")
    return {name: torch.cat([batch[name].cpu() for batch in found]) for name in scorer.names}
