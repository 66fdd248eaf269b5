"""Checks that in-distribution images are prepared as the training images of a run are."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path

from lightning_gans.data import DataModule
from lightning_gans.errors import InputError, UsageError, UserError, reason
from lightning_gans.ood.preparation import (
    Difference,
    Options,
    compare,
    difference,
    id_data,
    options,
    shown,
    words,
)
from lightning_gans.runs.checkpoints import find
from lightning_gans.runs.exported import read_config
from lightning_gans.runs.folder import EXPORTED_WEIGHTS
from lightning_gans.workflows.run_data import run_data

ID_IMAGES = "ID images"


def check_preparation(
    runs: Mapping[str, str], data: DataModule, what: str = ID_IMAGES, fold: int | None = None
) -> list[str]:
    """Refuse ID images that come from a run's own files, but are prepared otherwise.

    Args:
        runs: checkpoints, by the names of their models.
        data: whose validation images are ID.
        what: what these are called.
        fold: of the data, where each fold has a run of its own; None where there are no folds.

    Returns:
        A line for each model of which something is not as it should be, or is not known.

    Raises:
        UsageError: for such images; it says what to give.
    """
    of_data = f"the {what} of {data.name}"
    wrong: dict[str, Difference] = {}
    notes = []
    for name, path in runs.items():
        found = compared(path, data)
        if isinstance(found, str):
            notes.append(
                f"{name}: how its training images were prepared is not known ({found}); {of_data} "
                f"have {shown(options(data))}"
            )
            continue
        if found.trained and found.same_files:
            wrong[name] = found
        elif found.trained:
            wanted = words(data, found.trained) or "other data"
            notes.append(
                f"{name} was trained on images with {shown(found.trained)}, and {of_data} have "
                f"{shown(found.measured)}: unless their files were prepared before, give {wanted}"
            )
        if found.overlap:
            notes.append(
                f"{name} was trained with {found.overlap}, and {of_data} are among its training "
                "images, all or some: these have lower scores than new images"
            )
    if wrong:
        raise refusal(wrong, runs, data, of_data, fold)
    return notes


def refusal(
    wrong: Mapping[str, Difference],
    runs: Collection[str],
    data: DataModule,
    of_data: str,
    fold: int | None,
) -> UsageError:
    """Says what the first of some models was trained on, and what to give.

    Args:
        wrong: by model, what differs.
        runs: all models.
        data: whose validation images are ID.
        of_data: what these are called.
        fold: as :func:`check_preparation`.
    """
    name, found = next(iter(wrong.items()))
    wanted = words(data, found.trained)
    advice = "choose other data" if wanted is None else f"give {wanted}"
    apart = [other for other in runs if other not in wrong or wrong[other].trained != found.trained]
    if fold is not None and "fold" in found.trained:
        advice = "ckpt= must name the run of each fold by the number of the fold"
    elif apart:
        advice += f", in another table than {apart[0]}"
    return UsageError(
        f"{name} was trained on images with {shown(found.trained)}, but {of_data} have "
        f"{shown(found.measured)}: {advice}"
    )


def compared(ckpt: str, data: DataModule) -> Difference | str:
    """How ID images differ from the training images of a checkpoint; or why that is not known."""
    try:
        file = find(Path(ckpt))
        if file.name == EXPORTED_WEIGHTS:
            return difference(exported_options(file.parent), options(data))
        run = run_data(ckpt)
    # a config that cannot be read is no reason not to use the weights
    except (UserError, OSError, ValueError, argparse.ArgumentError) as error:
        return reason(error)
    if run is None:
        return "there is no config.yaml of its run"
    found = compare(run, data)
    # images of another shape are refused with another message
    if not found.same_files and run.image_shape != id_data(data).image_shape:
        return Difference({}, {}, False)
    return found


def exported_options(folder: Path) -> Options:
    """The options in the config of an exported folder, which may come from anyone.

    Raises:
        InputError: if there are none.
    """
    told = read_config(folder).get("preparation")
    crop, padding = (told.get("crop"), told.get("padding")) if isinstance(told, dict) else (0, 0)
    margins = isinstance(crop, list) and len(crop) == 4 and all(type(of) is int for of in crop)
    if not (margins or crop in ("center", "none")) or type(padding) is not int:
        raise InputError("its config says no crop and padding")
    return {"crop": crop, "padding": padding}
