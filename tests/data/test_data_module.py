"""What every data module knows before anything is loaded."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from lightning_gans import data as rooms
from lightning_gans.data import DataModule, Folder, Gaussians
from lightning_gans.data.mnist import MNIST, FashionMNIST
from lightning_gans.data.mnist5k import MNIST5k
from lightning_gans.ood import datasets

# but those that wrap another one, whose arguments they have
CLASSES = sorted(
    {
        cls
        for room in (rooms, datasets)
        for cls in (getattr(room, name) for name in room.__all__)
        if inspect.isclass(cls) and issubclass(cls, DataModule) and not inspect.isabstract(cls)
        if "data" not in inspect.signature(cls).parameters
    },
    key=lambda cls: cls.__name__,
)
REQUIRED: dict[str, Any] = {"root": "somewhere", "resolution": 64}


def make(cls: type[DataModule], **changes: Any) -> DataModule:
    """A data module with the arguments that it must have."""
    parameters = inspect.signature(cls).parameters.values()
    needed = {p.name: REQUIRED[p.name] for p in parameters if p.default is p.empty}
    return cls(**{**needed, **changes})


# values other than the defaults
OTHER: dict[str, Any] = {
    "root": "elsewhere",
    "download": True,
    "fold": 3,
    "resolution": 32,
    "attributes": ["Male"],
    "labels": "labels.csv",
    "label_columns": ["hat"],
    "crop": (1, 2, 3, 4),
    "on_error": "skip",
    "channels": 1,
    "validation": 7,
    "split_seed": 1,
    "centres": ((0.0, 0.0), (1.0, 1.0)),
    "weights": (0.5, 0.5),
    "std": 0.5,
    "train": 11,
    "seed": 5,
    "cache": 2.5,
    "flip": True,
    "padding": 1,
    "batch_size": 3,
    "workers": 1,
}
# of ten classes; all digits can be trained on only without a fold
DIGITS: dict[str, Any] = {"weights": (0.55, *(0.05,) * 9), "pool": False}
POOL: dict[str, Any] = {"pool": True, "fold": None}


@pytest.mark.parametrize("cls", CLASSES)
def test_every_constructor_argument_is_kept_under_its_own_name(cls: type[DataModule]) -> None:
    names = inspect.signature(cls).parameters
    others = [OTHER] if "pool" not in names else [{**OTHER, **DIGITS}, {**OTHER, **DIGITS, **POOL}]
    for other in others:
        given = {name: other[name] for name in names}
        kept = cls(**given).constructor_arguments()
        assert {name: str(value) for name, value in kept.items()} == {
            name: str(value) for name, value in given.items()
        }


@pytest.mark.parametrize("cls", CLASSES)
def test_replace_changes_what_it_is_told_and_nothing_else(cls: type[DataModule]) -> None:
    data = make(cls)
    other = data.replace(batch_size=7)
    assert type(other) is cls
    assert other.constructor_arguments() == {**data.constructor_arguments(), "batch_size": 7}
    assert data.batch_size == 32


@pytest.mark.parametrize("cls", CLASSES)
def test_a_description_is_of_the_images_and_not_of_how_they_are_loaded(
    cls: type[DataModule],
) -> None:
    data = make(cls)
    assert data.describe() == data.replace(batch_size=7, workers=2).describe()
    described = json.loads(data.describe())
    assert list(described) == sorted(described)
    assert described["class_path"] == f"{'.'.join(cls.__module__.split('.')[:-1])}.{cls.__name__}"
    assert described.get("padding", 0) == data.padding
    for name in set(described["init_args"]) & set(OTHER):
        if name not in ("centres", "weights", "label_columns"):  # which only change together
            assert data.replace(**{name: OTHER[name]}).describe() != data.describe()


def test_a_description_has_what_was_set() -> None:
    assert json.loads(MNIST("a").describe()) == {
        "class_path": "lightning_gans.data.MNIST",
        "init_args": {"root": "a"},
        "padding": 2,
    }
    assert MNIST("a", download=True).describe() == MNIST("a").describe()
    assert "padding" not in json.loads(MNIST("a", padding=0).describe())
    # the images that validate are the same
    assert MNIST("a", pool=True, weights=(0.1,) * 10).describe() == MNIST("a").describe()
    assert json.loads(MNIST("a").replace(fold=3).describe())["init_args"] == {
        "fold": 3,
        "root": "a",
    }
    assert Gaussians(seed=1).describe() != Gaussians().describe()


def test_names_for_results() -> None:
    assert MNIST("a").name == "mnist"
    assert FashionMNIST("a").name == "fashion_mnist"
    assert MNIST5k().name == "mnist5k"
    assert Folder("photos/of/cats/", 64).name == "cats"
    assert {cls.name for cls in CLASSES if cls.name} == {
        "fashion_mnist",
        "mnist_ood",
        "mnist_strokes",
        "celeba_ood",
    }


def test_padding_and_kind_of_examples() -> None:
    assert {cls.__name__ for cls in CLASSES if cls.padding} == {
        *("MNIST", "FashionMNIST", "KMNIST", "MNIST5k", "MNISTOOD", "MNISTStrokes")
    }
    assert [cls.__name__ for cls in CLASSES if not make(cls).has_images] == ["Gaussians"]


class Forgetful(DataModule):
    """Does not keep an argument."""

    image_shape = (1, 4, 4)
    classes = ()

    def __init__(self, folder: Path) -> None:
        super().__init__()

    def setup(self, stage: str | None = None) -> None:
        """Nothing to do."""


def test_a_class_that_forgets_an_argument_is_told_which() -> None:
    with pytest.raises(TypeError, match=r"Forgetful must store .* there is no folder$"):
        Forgetful(Path()).describe()
