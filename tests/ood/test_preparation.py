"""What the images of a measurement share with those that a model was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_gans.data import (
    MNIST,
    CelebA,
    DataModule,
    FashionMNIST,
    Folder,
    MNIST5k,
    MNISTStrokes,
)
from lightning_gans.ood.datasets import MNISTOOD, CelebAOOD, FolderSets
from lightning_gans.ood.preparation import Difference, compare, options, words

CROP = (25, 45, 25, 45)
FACES: dict[str, Any] = {"resolution": 128, "crop": CROP}
SAME = Difference({}, {}, same_files=True)


def differs(trained: dict[str, object], measured: dict[str, object], **more: Any) -> Difference:
    return Difference(trained, measured, **{"same_files": True, **more})


@pytest.mark.parametrize(
    ("trained", "measured", "expected"),
    [
        (CelebA("a", **FACES), CelebAOOD("b"), SAME),
        # the same margins, as Python and as a config file have them
        (CelebA("a", resolution=128, crop=list(CROP)), CelebAOOD("b"), SAME),  # type: ignore[arg-type]  # as a config has it
        (CelebA("a", **FACES, flip=True, attributes=("Male",), cache=0), CelebAOOD("b"), SAME),
        (
            CelebA("a", **FACES),
            CelebAOOD("b", crop="none"),
            differs({"crop": [*CROP]}, {"crop": "none"}),
        ),
        (
            CelebA("a", resolution=64, crop="center"),
            CelebAOOD("b"),
            differs({"resolution": 64, "crop": "center"}, {"resolution": 128, "crop": [*CROP]}),
        ),
        (MNIST("a"), MNISTOOD("b"), SAME),
        (MNIST("a", padding=0), MNISTOOD("b"), differs({"padding": 0}, {"padding": 2})),
        (MNIST("a", padding=0), MNISTOOD("b", padding=0), SAME),
        (MNIST("a", fold=3), MNISTOOD("b", fold=3), SAME),
        (MNIST("a", fold=3), MNISTOOD("b"), differs({"fold": 3}, {"fold": None})),
        (MNIST("a"), MNISTOOD("b", fold=3), differs({"fold": None}, {"fold": 3})),
        # the publisher's test images are the last fold
        (MNIST("a", fold=6), MNISTOOD("b"), SAME),
        (MNIST("a"), MNISTOOD("b", fold=6), SAME),
        (MNISTStrokes("a"), MNISTOOD("b", fold=0), differs({"fold": None}, {"fold": 0})),
        (MNIST("a", pool=True), MNISTOOD("b"), differs({}, {}, overlap="pool=true")),
        # other files
        (MNIST5k(), MNISTOOD("b", fold=1), differs({}, {}, same_files=False)),
        (FashionMNIST("a"), MNISTOOD("b"), differs({}, {}, same_files=False)),
        (
            MNIST("a"),
            Folder("b", 32, channels=1),
            differs({"padding": 2}, {"padding": 0}, same_files=False),
        ),
        (
            Folder("a", 128),
            CelebAOOD("b"),
            differs({"crop": "center"}, {"crop": [*CROP]}, same_files=False),
        ),
        (
            Folder("a", 16),
            Folder("b", 16, crop="none"),
            differs({"crop": "center"}, {"crop": "none"}, same_files=False),
        ),
        # the same folder
        (Folder("a", 16), Folder("./a", 16), SAME),
        (
            Folder("a", 16, channels=1),
            Folder("a", 16),
            differs({"channels": 1}, {"channels": 3}),
        ),
        (
            Folder("a", 16, validation=0),
            Folder("a", 16, validation=0),
            differs({}, {}, overlap="validation=0"),
        ),
        (
            Folder("a", 16),
            Folder("a", 16, split_seed=1),
            differs({}, {}, overlap="validation=0.1, split_seed=0"),
        ),
    ],
)
def test_differences(trained: DataModule, measured: DataModule, expected: Difference) -> None:
    assert compare(trained, measured) == expected


def test_folders_are_beside_the_images_of_other_data() -> None:
    assert compare(Folder("a", 16), FolderSets(Folder("a", 16), [])) == SAME
    data = FolderSets(CelebAOOD("b", crop="none"), [])
    assert options(data) == {"resolution": 128, "crop": "none", "padding": 0}
    found = compare(CelebA("a", **FACES), data)
    assert found == differs({"crop": [*CROP]}, {"crop": "none"})
    assert words(data, found.trained) == "data.crop=[25,45,25,45]"


def test_words_are_those_of_the_data() -> None:
    assert words(MNISTOOD("b"), {"padding": 0, "fold": None}) == "data.padding=0 data.fold=null"
    assert words(Folder("b", 16), {"crop": "none", "padding": 2}) is None
