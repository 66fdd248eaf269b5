"""The classifier for the accuracy of reconstructions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lightning_gans.errors import UsageError
from lightning_gans.metrics.digit_classifier import trained_digit_classifier
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Classifies
from lightning_gans.models.base.load import load


def image_classifier(
    name: str | None, model: Model, classes: tuple[int, ...]
) -> Callable[[Tensor], Tensor] | None:
    """A function from images to class indices, for the accuracy of reconstructions.

    Args:
        name: ``digits`` for the shipped classifier, or the run of a Classifier; None for none.
        model: the model that generates the images.
        classes: how many classes each label of the images has.

    Raises:
        UsageError: if the classifier does not fit the images or their labels.
    """
    if name is None:
        return None
    if len(classes) != 1:
        raise UsageError(
            f"classifier={name}: the images do not have exactly one label each to compare with"
        )
    if name == "digits":
        digits = trained_digit_classifier()
        shape: tuple[int, ...] = (1, 32, 32)
        known: tuple[int, ...] = (10,)

        def classify(x: Tensor) -> Tensor:
            logits: Tensor = digits(x.clamp(-1, 1))
            return logits.argmax(1)

    else:
        trained = load(name)
        if not isinstance(trained, Classifies):
            raise UsageError(f"classifier={name}: a {type(trained).__name__} does not classify")
        shape, known = trained.image_shape, trained.classes

        def classify(x: Tensor) -> Tensor:
            return trained.classify(x.clamp(-1, 1))

    if (shape, known) != (model.image_shape, classes):
        raise UsageError(
            f"classifier={name} takes images of shape {shape} with {known} classes, got "
            f"{model.image_shape} with {classes}"
        )
    return classify
