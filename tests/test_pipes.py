"""A pipe in the place of a file is an error at once, wherever a path is read."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.data import MNIST, CelebA
from lightning_gans.errors import UserError
from lightning_gans.files import open_file
from lightning_gans.inversion import Recovery
from lightning_gans.metrics import InceptionFeatures
from lightning_gans.metrics.features import FeaturesUnavailable
from lightning_gans.metrics.real_statistics import RealStatistics
from lightning_gans.ood.calibration import Calibration
from lightning_gans.safe_yaml import read_mapping
from tests.support.features import prepared, random_images


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """A test that waits for the other end of a pipe fails after ten seconds."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("waited for the other end of a pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def celeba(pipe: Path) -> None:
    pipe.rename(pipe.with_name("list_attr_celeba.txt"))
    CelebA(str(pipe.parent)).prepare_data()


def celeba_face(pipe: Path) -> None:
    folder = pipe.parent
    (folder / "list_attr_celeba.txt").write_text("1\nMale\n000001.jpg 1\n")
    (folder / "img_align_celeba").mkdir()
    pipe.rename(folder / "img_align_celeba" / "000001.jpg")
    CelebA(str(folder), attributes=("Male",)).prepare_data()


def mnist(pipe: Path) -> None:
    raw = pipe.parent / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pipe.rename(raw / "t10k-images-idx3-ubyte")
    MNIST(str(pipe.parent)).setup("validate")


def mnist_packed(pipe: Path) -> None:
    raw = pipe.parent / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"cut")[:-3])
    pipe.rename(raw / "t10k-labels-idx1-ubyte.gz")
    MNIST(str(pipe.parent)).setup("validate")


READERS: dict[str, Callable[[Path], object]] = {
    "config": read_mapping,
    "checkpoint": lightning_gans.load,
    "recovery": Recovery.load,
    "calibration": Calibration.load,
    "Inception": lambda pipe: InceptionFeatures(str(pipe)).prepare(torch.device("cpu")),
    "CelebA": celeba,
    "a face of CelebA": celeba_face,
    "MNIST": mnist,
    "MNIST, packed": mnist_packed,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_in_the_place_of_a_file_is_one_line(reader: str, pipe: Path) -> None:
    with pytest.raises((UserError, FeaturesUnavailable)) as caught:
        READERS[reader](pipe)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("words", [["train", "--config={}"], ["invert", "ckpt={}", "images=."]])
def test_a_command_is_given_a_pipe(
    words: list[str], pipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word.format(pipe) for word in words])
    assert caught.value.code in (1, 2)
    assert str(pipe) in capsys.readouterr().err


def test_a_pipe_among_stored_features_is_computed_again(pipe: Path) -> None:
    stored = RealStatistics(random_images(), prepared(), 4, pipe.parent)
    pipe.rename(stored.path("moments"))
    with pytest.warns(UserWarning, match="a named pipe, expected a file"):
        assert stored._read("moments") is None


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with open_file(tmp_path / name) as file:
            assert file.read() == b"content"
    with pytest.raises(FileNotFoundError), open_file(tmp_path / "b"):
        pass
    with pytest.raises(UserError, match="a folder, expected a file"), open_file(tmp_path):
        pass
