"""What class-conditional models ask of the data."""

from __future__ import annotations

from lightning_gans.errors import InputError


def require_labels(model: str, classes: tuple[int, ...]) -> tuple[int, ...]:
    """The classes of the data's labels.

    Raises:
        InputError: if there are none, or only one class.
    """
    if max(classes, default=0) < 2:
        raise InputError(
            f"{model} needs labels, and the data have none; choose labelled data, such as "
            "data=mnist5k, or a folder with a folder for each class"
        )
    return tuple(classes)
