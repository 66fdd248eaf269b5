"""How class-conditional generators get the conditions of images that are inverted."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lightning_gans.errors import UsageError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Clusters


def conditions(
    model: Model, category: int | None, classes: tuple[int, ...]
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Images and labels to conditions: as told, by the model's own clusters, or from labels.

    Args:
        model: a trained one.
        category: for all images, if given.
        classes: how many classes each label of the images has.

    Returns:
        None for models without categories.

    Raises:
        UsageError: if there is no way.
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
        f"{type(model).__name__} makes images of a given class, which these images' labels do not "
        "tell; give category=NUMBER"
    )
