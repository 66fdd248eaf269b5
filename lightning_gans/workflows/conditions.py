"""The conditions of class-conditional generators for images to invert."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from lightning_gans.errors import UsageError
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Clusters


def conditions(
    model: Model,
    category: int | Sequence[int] | None,
    classes: tuple[int, ...],
    class_names: tuple[tuple[str, ...], ...] | None = None,
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function of images and labels that gives their conditions.

    Conditions come from a given category, from the clusters that the model finds, or from labels.

    Args:
        model: a trained one.
        category: for all images, a class for each label, if given.
        classes: how many classes each label of the images has.
        class_names: of these classes, if they have names.

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
        if class_names and model.class_names and class_names != model.class_names:
            raise UsageError(
                f"the classes of these images are {listed(class_names)}, those of the model "
                f"{listed(model.class_names)}; use category=NAME or NUMBER"
            )
        return lambda x, y: categories.condition(y, len(x))
    raise UsageError(
        f"{type(model).__name__} needs the class of each image, which these labels do not give; "
        "use category=NAME or NUMBER"
    )


def listed(class_names: tuple[tuple[str, ...], ...], most: int = 6) -> str:
    """Names of classes in a message."""
    names = [name for label in class_names for name in label]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
