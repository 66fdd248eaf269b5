"""Whether in-distribution images are prepared as the images that a model was trained on.

A model scores an image that is cropped, padded or resized otherwise as if it were another one, so
that ID images which are prepared otherwise look anomalous themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lightning_gans.data import KMNIST, MNIST, CelebA, DataModule, FashionMNIST, MNIST5k
from lightning_gans.data.mnist import FOLDS
from lightning_gans.ood.datasets import FolderSets, OODData
from lightning_gans.paths import typed_path

Options: TypeAlias = Mapping[str, object]
"""Arguments of data modules by name, lists instead of tuples."""

# what decides the pixels of an image, given its file; every other step is the same for all data
PIXELS = ("resolution", "channels", "crop", "padding")
# what decides which images are held out, of the same files
SPLIT = ("validation", "split_seed")
# data sets whose files are the same wherever they lie
PUBLISHED = (CelebA, MNIST, FashionMNIST, KMNIST, MNIST5k)


@dataclass(frozen=True)
class Difference:
    """Options that training images and ID images do not share.

    Attributes:
        trained: those of the training images; empty if there is no difference.
        measured: those of the ID images, of the same names.
        same_files: whether both are read from the same files, so that their pixels differ. Other
            files may have been prepared before.
        overlap: by which option ID images are among the training images; "" if by none.
    """

    trained: Options
    measured: Options
    same_files: bool
    overlap: str = ""


def options(data: DataModule) -> dict[str, object]:
    """The options by which data prepare their validation images, in a fixed order."""
    inside = id_data(data)
    known = inspect.signature(type(inside)).parameters
    found = {
        name: plain(getattr(inside, name))
        for name in PIXELS
        # of data that do not read image files, the attribute crop says nothing
        if name in known or name == "padding"
    }
    return found | ({"fold": getattr(inside, "fold", None)} if "fold" in known else {})


def compare(trained: DataModule, measured: DataModule) -> Difference:
    """How ID images are prepared otherwise than training images.

    Args:
        trained: the data of a run.
        measured: whose validation images are ID.
    """
    inside = id_data(measured)
    same = read_same_files(trained, inside)
    a, b = options(trained), options(inside)
    if same:
        # without folds, all but the publisher's test images are trained on, as in the last fold
        folds = [getattr(data, "fold", None) for data in (trained, inside)]
        a, b = ({**of, "fold": fold} for of, fold in zip((a, b), folds, strict=True))
        if folds[0] == folds[1] or {*folds} == {None, FOLDS - 1}:
            a.pop("fold")
    else:
        a.pop("fold", None)
    return difference(a, b, same, overlap(trained, inside) if same else "")


def difference(
    trained: Options, measured: Options, same_files: bool = False, overlap: str = ""
) -> Difference:
    """The options of training images and of ID images that differ, of those that both have."""
    names = [name for name in trained if name in measured and trained[name] != measured[name]]
    return Difference(
        {name: trained[name] for name in names},
        {name: measured[name] for name in names},
        same_files,
        overlap,
    )


def id_data(data: DataModule) -> DataModule:
    """The data whose validation images are ID: digits of :class:`MNISTOOD`, for example."""
    return data.inside if isinstance(data, OODData) else data


def read_same_files(a: DataModule, b: DataModule) -> bool:
    """Whether two data read the same files, as far as their classes and folders say."""
    if not (isinstance(a, type(b)) or isinstance(b, type(a))):
        return False
    if isinstance(a, PUBLISHED):
        return True
    folders = [getattr(data, "root", None) for data in (a, b)]
    if None in folders:
        return False
    a_root, b_root = (typed_path(str(folder)).resolve() for folder in folders)
    return a_root == b_root


def overlap(trained: DataModule, measured: DataModule) -> str:
    """By which option of a run its training images are among ID images of the same files."""
    if getattr(trained, "pool", False):
        return "pool=true"
    if not all(hasattr(data, name) for data in (trained, measured) for name in SPLIT):
        return ""
    split = {name: getattr(trained, name) for name in SPLIT}
    if split["validation"] and all(getattr(measured, name) == split[name] for name in SPLIT):
        return ""
    return shown(split if split["validation"] else {"validation": 0})


def words(data: DataModule, wanted: Options) -> str | None:
    """What is typed to give data these options; None if they do not have them all."""
    while isinstance(data, FolderSets):
        data = data.data
    known = inspect.signature(type(data)).parameters
    if not all(name in known for name in wanted):
        return None
    return " ".join(f"data.{name}={typed(value)}" for name, value in wanted.items())


def shown(wanted: Options) -> str:
    """Options for people.

    >>> shown({"crop": [25, 45, 25, 45], "fold": None})
    'crop=[25,45,25,45], fold=null'
    """
    return ", ".join(f"{name}={typed(value)}" for name, value in wanted.items())


def typed(value: object) -> str:
    """A value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    return str(value)


def plain(value: object) -> object:
    """A list instead of a tuple, which a config file does not have."""
    return list(value) if isinstance(value, tuple) else value
