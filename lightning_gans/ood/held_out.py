"""A model's scores of images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data import DataModule
from lightning_gans.data.tensors import Batch
from lightning_gans.errors import InputError
from lightning_gans.models import Model
from lightning_gans.ood.batches import batches, subsample
from lightning_gans.ood.calibration import Calibration, Origin
from lightning_gans.ood.scorer import Scorer, score_all

# enough training images to find thresholds
ENOUGH = 5000


def calibrate(
    model: Model,
    data: DataModule,
    names: Collection[str],
    origin: Origin,
    batch_size: int,
    is_training_data: bool,
    score: Callable[[Scorer, Dataset[Batch], int], Mapping[str, Tensor]] = score_all,
) -> Calibration:
    """Score held-out images: at most ``origin.most`` of the validation set, drawn at random.

    Args:
        model: a trained one.
        data: whose validation images are held out.
        names: scores that are needed; those that cost little are added.
        origin: what to store as the origin of the scores.
        batch_size: how many images are scored at once.
        is_training_data: whether the model was trained on these data; otherwise the person chose
            them as held-out images.
        score: gives the scores of all images of a dataset, in batches of a size.

    Raises:
        InputError: if the images are of another shape, or training used all of them.
        DataMissing: if files are missing.
    """
    if data.image_shape != model.image_shape:
        raise InputError(
            f"expected held-out images of shape {model.image_shape}, as the model takes, but "
            f"{type(data).__name__} has {data.image_shape}"
        )
    data.prepare_data()
    defaults = Scorer(model).defaults
    scorer = Scorer(model, tuple(dict.fromkeys((*names, *defaults))))
    data.setup("fit" if scorer.needs_fit() else "predict")
    # digits of which all are trained on still have their test images
    if is_training_data and (
        getattr(data, "train_set", None) is data.validation_set or getattr(data, "pool", False)
    ):
        raise InputError(
            "this model was trained on all images of its data, so none are held out; give "
            "data=NAME data.root=FOLDER with other images of the kind it was trained on"
        )
    if scorer.needs_fit():
        training = subsample(data.train_set, ENOUGH, "ood/training")
        scorer.fit(x for x, _ in batches(training, batch_size))
    held_out = subsample(data.validation_set, origin.most, "ood/held_out")
    return Calibration(score(scorer, held_out, batch_size), origin, scorer.thresholds)
