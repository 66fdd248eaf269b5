"""The sets that detection is measured on: folds, corrupted digits, letters, what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lightning_gans.data import KMNIST, MNIST, DataMissing, DataModule
from lightning_gans.data.tensors import Batch, TensorImages, to_signed
from lightning_gans.errors import UserError
from lightning_gans.ood.batches import batches, size
from lightning_gans.ood.corruptions import NAMES, corrupt_bytes
from lightning_gans.ood.datasets import FONTS, LETTERS, MNISTOOD, CelebAOOD, Corrupted, Letters
from lightning_gans.ood.datasets.celeba import NAMES as FACE_SETS
from tests.support.idx import TRAIN, write_digits


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """MNIST whole, FashionMNIST's test images, no KMNIST."""
    write_digits(tmp_path / "data", "MNIST", 0)
    write_digits(tmp_path / "data", "FashionMNIST", 1, train=0)
    return tmp_path / "data"


def everything(images: Dataset[Batch]) -> tuple[Tensor, Tensor]:
    (batch,) = batches(images, 10_000)
    return batch[0], batch[1]


# --- folds


def test_folds_are_disjoint_and_together_all_images(root: Path) -> None:
    whole = MNIST(str(root))
    whole.setup()
    parts = [everything(whole.train_set), everything(whole.validation_set)]
    images, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    inside = []
    for fold in range(7):
        data = MNIST(str(root), fold=fold)
        data.setup()
        x, y = everything(data.validation_set)
        first = 5 * fold  # 35 images
        assert torch.equal(x, images[first : first + 5])
        assert torch.equal(y, labels[first : first + 5])
        others = torch.cat([images[:first], images[first + 5 :]])
        assert torch.equal(everything(data.train_set)[0], others)
        assert torch.equal(
            everything(data.train_set)[1], torch.cat([labels[:first], labels[first + 5 :]])
        )
        inside.append(x)
    assert torch.equal(torch.cat(inside), images)


def test_a_fold_needs_all_files_and_a_number_there_is(root: Path) -> None:
    for fold in (-1, 7):
        with pytest.raises(ValueError, match=rf"fold.*, got {fold}"):
            MNIST(str(root), fold=fold)
    (root / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataMissing, match="train-labels"):
        MNIST(str(root), fold=0).setup("validate")
    MNIST(str(root)).setup("validate")


# --- digits


def test_digits_and_the_sets_that_are_there(root: Path) -> None:
    data = MNISTOOD(str(root))
    data.prepare_data()
    data.setup("predict")
    plain = MNIST(str(root))
    plain.setup("predict")
    x, y = everything(plain.validation_set)
    assert torch.equal(everything(data.validation_set)[0], x)
    assert not hasattr(data, "train_set")
    assert list(data.sets) == [*NAMES, "fashion_mnist", "letters"]
    assert list(data.missing) == ["kmnist"]
    assert str(root / "KMNIST" / "raw") in data.missing["kmnist"]
    assert "\n" not in data.missing["kmnist"]
    for name in NAMES:
        corrupted, labels = everything(data.sets[name])
        assert torch.equal(labels, y)
        inner = corrupt_bytes(((x + 1) * 127.5).round().byte()[:, :, 2:-2, 2:-2], name)
        assert torch.equal(corrupted[:, :, 2:-2, 2:-2], to_signed(inner))
        border = corrupted.clone()
        border[:, :, 2:-2, 2:-2] = -1
        assert (border == -1).all(), "the border stays black"
    assert len({everything(s)[0].numpy().tobytes() for s in data.sets.values()}) == 12
    data.setup("fit")
    assert size(data.train_set) == TRAIN
    write_digits(root, "KMNIST", 2, train=0)
    found = MNISTOOD(str(root))
    found.setup("predict")
    assert list(found.sets) == [*NAMES, "fashion_mnist", "kmnist", "letters"]
    assert not found.missing


def test_a_fold_of_digits_is_corrupted_itself(root: Path) -> None:
    data = MNISTOOD(str(root), fold=3)
    data.setup()
    x, _ = everything(data.validation_set)
    striped = everything(data.sets["stripe"])[0]
    assert torch.equal(striped[..., 9:23], x[..., 9:23])
    torch.testing.assert_close(striped[..., 2:-2, 2:9], -x[..., 2:-2, 2:9])
    assert size(data.train_set) == 30
    assert size(data.sets["letters"]) == 5
    noise = Corrupted(TensorImages(torch.zeros(5, 1, 32, 32).byte(), torch.zeros(5)), NAMES[1], 0)
    other = Corrupted(noise.digits, NAMES[1], 1)
    assert not torch.equal(everything(noise)[0], everything(other)[0])


def test_without_digits_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    write_digits(tmp_path, "FashionMNIST", 1)
    with pytest.raises(DataMissing, match="MNIST is not complete"):
        MNISTOOD(str(tmp_path)).setup("predict")


@pytest.mark.parametrize("name", ["impulse_noise", "motion_blur", "canny_edges"])
def test_a_corrupted_digit_does_not_depend_on_its_batch(root: Path, name: str) -> None:
    data = MNISTOOD(str(root))
    data.setup("predict")
    digits = data.sets[name]
    assert isinstance(digits, Corrupted)
    whole, labels = everything(digits)
    some, chosen = digits.__getitems__([7, 2, 3])
    for row, index in enumerate([7, 2, 3]):
        single, label = digits[index]
        assert torch.equal(single, whole[index])
        assert torch.equal(some[row], whole[index])
        assert label == chosen[row] == labels[index]


def write_published(root: Path, part: str, name: str = "fog", *, labels: bool = True) -> Tensor:
    """Files as MNIST-C's, of other images than this package makes; the images (n, 1, 32, 32)."""
    data = MNIST(str(root))
    data.setup()
    digits = data.train_set if part == "train" else data.validation_set
    assert isinstance(digits, TensorImages)
    pixels = np.random.default_rng(len(part)).integers(0, 256, (len(digits), 28, 28, 1), np.uint8)
    folder = root / "mnist_c" / name
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{part}_images.npy", pixels)
    if labels:
        np.save(folder / f"{part}_labels.npy", digits.labels.numpy().astype(np.uint8))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return to_signed(torch.nn.functional.pad(images, (2, 2, 2, 2)))


@pytest.mark.parametrize("labels", [True, False])
def test_published_files_are_read_where_they_lie(root: Path, labels: bool) -> None:
    made = MNISTOOD(str(root))
    made.setup("predict")
    images = write_published(root, "test", labels=labels)
    data = MNISTOOD(str(root))
    data.setup("predict")
    assert torch.equal(everything(data.sets["fog"])[0], images)
    assert torch.equal(everything(data.sets["fog"])[1], everything(data.validation_set)[1])
    assert list(data.sets) == list(made.sets)
    others = [name for name in NAMES if name != "fog"]
    assert all(isinstance(data.sets[name], Corrupted) for name in others)
    read = {"fog": "files", "fashion_mnist": "files"}
    assert data.sources == {name: read.get(name, "made") for name in data.sets}
    assert made.sources == {**data.sources, "fog": "made"}


def test_a_fold_is_read_from_the_published_files_of_its_part(root: Path) -> None:
    # folds of 5, of which 23 are in the training files and 12 in the test files
    test = write_published(root, "test")
    for fold, source in ((0, "made"), (4, "made"), (5, "files"), (6, "files")):
        data = MNISTOOD(str(root), fold=fold)
        data.setup("predict")
        assert data.sources["fog"] == source, fold
    assert torch.equal(everything(data.sets["fog"])[0], test[7:])
    whole = torch.cat([write_published(root, "train"), test])
    for fold in range(7):
        data = MNISTOOD(str(root), fold=fold)
        data.setup()
        assert data.sources["fog"] == "files"
        x, y = everything(data.sets["fog"])
        assert torch.equal(x, whole[5 * fold : 5 * fold + 5])
        assert torch.equal(y, everything(data.validation_set)[1])


def test_a_fold_has_its_own_images_of_the_other_sets(root: Path) -> None:
    write_digits(root, "KMNIST", 2)
    for fold in (0, 3):
        data = MNISTOOD(str(root), fold=fold)
        data.setup("predict")
        # of FashionMNIST there are only test images
        assert "train-images" in data.missing["fashion_mnist"]
        plain = KMNIST(str(root), fold=fold)
        plain.setup()
        x, y = everything(data.sets["kmnist"])
        assert torch.equal(x, everything(plain.validation_set)[0])
        assert torch.equal(y, everything(plain.validation_set)[1])


def test_files_that_are_not_these_digits_are_told_in_one_line(root: Path) -> None:
    write_published(root, "test")
    images = root / "mnist_c" / "fog" / "test_images.npy"
    labels = images.with_name("test_labels.npy")
    good, truth = np.load(images), np.load(labels)

    def refused() -> str:
        with pytest.raises(UserError) as error:
            MNISTOOD(str(root)).setup("predict")
        text = str(error.value)
        assert "\n" not in text
        return text

    wrong = {
        "(11, 28, 28, 1) uint8": good[:11],
        "(12, 28, 28) uint8": good[..., 0],
        "(12, 32, 32, 1) uint8": np.zeros((12, 32, 32, 1), np.uint8),
        "(12, 28, 28, 1) float32": good.astype(np.float32),
        "(12, 28, 28, 1) int64": good.astype(np.int64),
    }
    for found, content in wrong.items():
        np.save(images, content)
        text = refused()
        assert f"{images} has {found}, expected (12, 28, 28, 1) uint8" in text
        assert "move it away" in text
    np.save(images, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "cannot be read" in refused()
    with images.open("wb") as file:
        np.savez(file, good)
    assert "is not an array" in refused()
    for content in (b"", b"\x93NUMPY", b"no array at all"):
        images.write_bytes(content)
        assert f"{images} cannot be read" in refused()
    np.save(images, good)
    content = images.read_bytes()
    images.write_bytes(content[: len(content) // 2])
    assert "cannot be read" in refused()
    images.unlink()
    images.mkdir()
    assert "is a folder" in refused()
    images.rmdir()
    np.save(images, good)
    for other in (truth[::-1], truth[:5], (truth + 1) % 10):
        np.save(labels, other)
        assert f"{labels} has other labels" in refused()
    np.save(labels, truth)
    MNISTOOD(str(root)).setup("predict")


# --- letters


def test_letters_are_the_same_each_time_and_fit_where_digits_do() -> None:
    n = 4 * len(LETTERS)
    x, y = everything(Letters(n))
    torch.manual_seed(7)
    letters = Letters(n)
    assert torch.equal(torch.stack([letters[i][0] for i in range(n)]), x)
    assert torch.equal(everything(Letters(50))[0], x[:50])
    assert not torch.equal(everything(Letters(n, seed=1))[0], x)
    assert x.shape == (n, 1, 32, 32)
    assert y.tolist() == list(range(len(LETTERS))) * 4
    assert (x >= -1).all()
    assert (x <= 1).all()
    ink = (x[:, 0] + 1) / 2
    drawn = ink > 0.05
    assert (drawn & (ink < 0.95)).sum() > 0.5 * drawn.sum(), "edges are smooth"
    assert (ink.flatten(1).max(1).values > 0.4).all()
    place = torch.arange(32.0)
    for letter in ink:
        rows, columns = letter.sum(1), letter.sum(0)
        high, wide = (int((sums > 0).nonzero().max()) for sums in (rows, columns))
        top, left = (int((sums > 0).nonzero().min()) for sums in (rows, columns))
        # resampling may leave an edge row of no ink
        assert max(high - top, wide - left) + 1 in {18, 19, 20}
        assert min(top, left) >= 2
        assert max(high, wide) <= 29
        for sums in (rows, columns):
            assert abs(float((sums * place).sum() / sums.sum()) - 15.5) < 1
    for index in range(len(LETTERS)):
        # of one letter, no two are alike
        same = x[y == index]
        assert len({letter.numpy().tobytes() for letter in same}) == 4


def test_no_letter_looks_like_a_digit() -> None:
    assert not set("OoQDIilZzSsGbBgq01234568789") & set(LETTERS)
    assert len(set(LETTERS)) == len(LETTERS) == 36
    assert len(set(FONTS)) == len(FONTS)
    with pytest.raises(IndexError):
        Letters(3)[3]


# --- faces


def draw(path: Path, value: int, size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, 255 - value)).save(path)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    names = [f"{182638 + i:06}.jpg" for i in range(6)] + ["000001.jpg"]
    for i, name in enumerate(names):
        draw(root / "celeba" / "img_align_celeba" / name, 10 * i, (178, 218))
    rows = "".join(f"{name} 1 -1 1 1 -1\n" for name in names)
    attributes = f"{len(names)}\nBangs Male Smiling Black_Hair Young\n{rows}"
    (root / "celeba" / "list_attr_celeba.txt").write_text(attributes)
    for i in range(12):
        draw(root / "malaria" / ("a" if i < 6 else "b") / f"{i:02}.png", 20 * i)
    return root


def test_faces_and_the_folders_that_are_there(faces: Path) -> None:
    data = CelebAOOD(str(faces), resolution=8)
    data.prepare_data()
    data.setup("predict")
    assert data.image_shape == (3, 8, 8)
    assert size(data.validation_set) == 6
    assert list(data.sets) == ["malaria"]
    assert list(data.missing) == [name for name in FACE_SETS if name != "malaria"]
    assert str(faces / "coil100") in data.missing["coil100"]
    assert all("\n" not in why for why in data.missing.values())
    x, y = everything(data.sets["malaria"])
    assert x.shape == (12, 3, 8, 8)
    levels = ((x[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert sorted(levels) == list(range(0, 240, 20))
    assert levels != sorted(levels), "in an order that is not by class"
    assert len(set(y[:6].tolist())) == 2
    again = CelebAOOD(str(faces), resolution=8)
    again.setup()
    assert torch.equal(everything(again.sets["malaria"])[0], x)
    assert size(again.train_set) == 1


CONFIGS = Path(__file__).parents[2] / "configs"
# the trainings of the thesis's Table 8
ON_FACES = ("anodlsgan", "infogan", "msegan", "autoencoder", "classifier")


def configured(group: str, name: str, root: Path) -> DataModule:
    """The data of a config file, from another folder."""
    section = yaml.safe_load((CONFIGS / group / f"{name}.yaml").read_text())["data"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(DataModule, "data")
    words = [f"--data={json.dumps(section)}", f"--data.root={root}"]
    data: DataModule = parser.instantiate(parser.parse_args(words)).data
    return data


@pytest.mark.parametrize("model", ON_FACES)
def test_faces_are_those_that_the_published_experiments_train_on(
    faces: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(faces / "cache"))
    random = np.random.default_rng(0)
    pictures = sorted((faces / "celeba" / "img_align_celeba").iterdir())
    for path in pictures:
        Image.fromarray(random.integers(0, 256, (218, 178, 3), np.uint8)).save(path)
    trained = configured("experiment", f"{model}_celeba", faces / "celeba")
    tested = (CelebAOOD(str(faces)), configured("data", "celeba_ood", faces))
    trained.setup()
    for data in tested:
        data.setup()
        assert data.image_shape == trained.image_shape
        for part in ("train_set", "validation_set"):
            found, expected = (everything(getattr(of, part))[0] for of in (data, trained))
            assert torch.equal(found, expected)
        # which the published code crops, and does not resize
        x = everything(data.validation_set)[0]
        for image, path in zip(x, pictures[1:], strict=True):
            with Image.open(path) as whole:
                pixels = np.asarray(whole)[45:173, 25:153].astype(np.float32)
            assert torch.equal(image, torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_all_digits_are_padded_as_those_that_a_model_is_trained_on(
    root: Path, padding: int
) -> None:
    write_digits(root, "KMNIST", 2, train=0)
    (root / "mnist_c" / "fog").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28, 1), np.uint8)
    np.save(root / "mnist_c" / "fog" / "test_images.npy", pixels)
    trained, usual = MNIST(str(root), padding=padding), MNISTOOD(str(root))
    data = usual.replace(padding=padding)
    for opened in (trained, usual, data):
        opened.setup()
    assert data.image_shape == trained.image_shape == (1, 28 + 2 * padding, 28 + 2 * padding)
    for part in ("train_set", "validation_set"):
        found, expected = (everything(getattr(of, part))[0] for of in (data, trained))
        assert torch.equal(found, expected)
    assert list(data.sets) == list(usual.sets)
    inside = slice(padding, 28 + padding)
    for name, images in data.sets.items():
        x, y = everything(images)
        before = everything(usual.sets[name])
        assert x.shape[1:] == data.image_shape
        assert torch.equal(x[:, :, inside, inside], before[0][:, :, 2:30, 2:30])
        assert torch.equal(y, before[1])
        x[:, :, inside, inside] = -1
        assert (x == -1).all(), name


def test_near_is_as_in_the_thesis() -> None:
    assert MNISTOOD("x").near == 0.1
    assert CelebAOOD("x").near == 0.5
