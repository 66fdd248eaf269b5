"""The calibration of a model by data: its scores of images that it was not trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Sized
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from lightning_gans.data import DataModule
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError
from lightning_gans.models import Model
from lightning_gans.ood.calibration import Calibration, Origin
from lightning_gans.ood.logit_scorer import ClassifierScorer
from lightning_gans.ood.scorer import Scorer
from lightning_gans.ood.scoring import score_all, scorer
from lightning_gans.rng import stream

# training images that are enough to learn thresholds from
ENOUGH = 5000


def calibrate(
    model: Model,
    data: DataModule,
    names: Collection[str],
    origin: Origin,
    batch_size: int,
    given: bool,
) -> Calibration:
    """Score held-out images: at most ``origin.most`` of the validation set, drawn at random.

    Args:
        model: a trained one.
        data: whose validation images are held out.
        names: scores that are needed; those that cost little are computed beside them.
        origin: what is written of where the scores are from.
        batch_size: images that are scored at once.
        given: whether a person chose these data for this; else they are those of the training.

    Raises:
        InputError: if the images are of another shape, or the training saw them all.
        DataMissing: if they are not there.
    """
    if data.image_shape != model.image_shape:
        raise InputError(
            f"expected held-out images of shape {model.image_shape}, as the model takes, but "
            f"{type(data).__name__} has {data.image_shape}"
        )
    data.prepare_data()
    score = scorer(model, tuple(dict.fromkeys((*names, *scorer(model).standard))))
    fit = any("p=" in name for name in names)
    data.setup("fit" if fit else "predict")
    if not given and getattr(data, "train_set", None) is data.validation_set:
        raise InputError(
            "this model was trained on all images of its data, so that none is held out; give "
            "data=NAME data.root=FOLDER with other images of the kind it was trained on"
        )
    if fit:
        score.fit(batches(subsample(data.train_set, ENOUGH, "ood/training"), batch_size))
    held_out = subsample(data.validation_set, origin.most, "ood/held_out")
    thresholds = score.thresholds if isinstance(score, ClassifierScorer) else {}
    return Calibration(score_all(score, held_out, batch_size), origin, thresholds)


def calibrated_scorer(
    model: Model, names: Sequence[str], thresholds: Mapping[float, float]
) -> Scorer:
    """A scorer of some names that knows what a calibration learnt of training images."""
    made = scorer(model, names)
    if isinstance(made, ClassifierScorer):
        made.thresholds = dict(thresholds)
    return made


def subsample(images: Dataset[Batch], most: int, purpose: str) -> Dataset[Batch]:
    """All images, or ``most`` of them drawn at random without repetition, always the same."""
    count = len(cast(Sized, images))
    if count <= most:
        return images
    order = torch.randperm(count, generator=stream(purpose, seed=0))[:most]
    return Subset(images, order.sort().values.tolist())


def batches(images: Dataset[Batch], size: int) -> Iterator[Tensor]:
    """The images of a dataset of (x, y), in order."""
    count = len(cast(Sized, images))
    for first in range(0, count, size):
        yield torch.stack([images[i][0] for i in range(first, min(first + size, count))])


def is_batch_independent(score: Scorer) -> bool:
    """Whether the scores of an image are the same whatever else is in its batch."""
    noise = torch.rand(4, *score.model.image_shape, generator=stream("ood/separate", seed=0))
    x = (noise * 2 - 1).to(score.model.device)
    together, alone = score(x), [score(x[i : i + 1]) for i in range(len(x))]
    return all(
        torch.allclose(values, torch.cat([found[name] for found in alone]), rtol=1e-3, atol=1e-5)
        for name, values in together.items()
    )
