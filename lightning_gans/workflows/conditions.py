"""The conditions of class-conditional generators for images to invert."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lightning_gans.errors import UsageError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Clusters


def conditions(
    model: Model, category: int | None, classes: tuple[int, ...]
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function of images and labels that gives their conditions.

    Conditions come from a given category, from the clusters that the model finds, or from labels.

    Args:
        model: a trained one.
        category: for all images, if given.
        classes: how many classes each label of the images has.

    Returns:
        None for models without categories.

    Raises:
        UsageError: if the conditions cannot be determined.
    """
    categories = model.categories
    if categories is None:
        if category is not None:
            raise UsageError(f"category={category}: {type(model).__name__} has no categories")
        return None
    if category is not None:
        return lambda x, y: categories.condition(category, len(x))
    if isinstance(model, Clusters):
        return lambda x, y: categories.condition(model.cluster(x), len(x))
    if classes == categories.classes:
        return lambda x, y: categories.condition(y, len(x))
    raise UsageError(
        f"{type(model).__name__} needs the class of each image, which these labels do not give; "
        "use category=NUMBER"
    )
