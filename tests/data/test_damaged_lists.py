"""Lists and files of published data that are damaged in ways that could go unnoticed."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_gans.data import MNIST, CelebA, mnist
from lightning_gans.errors import InputError

LIST = b"2\nMale Bangs\n000001.jpg 1 -1\n000002.jpg -1 -1\n"


def celeba(root: Path, attributes: bytes = LIST, partition: bytes | None = None) -> CelebA:
    (root / "img_align_celeba").mkdir()
    for name in ("000001.jpg", "000002.jpg"):
        Image.new("RGB", (178, 218)).save(root / "img_align_celeba" / name)
    (root / "list_attr_celeba.txt").write_bytes(attributes)
    if partition is not None:
        (root / "list_eval_partition.txt").write_bytes(partition)
    data = CelebA(str(root), attributes=("Male",), resolution=8)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("attributes", [LIST, b"\xef\xbb\xbf" + LIST, LIST.replace(b"\n", b"\r\n")])
def test_a_list_from_another_system_is_read(attributes: bytes, tmp_path: Path) -> None:
    data = celeba(tmp_path, attributes, b"000001.jpg 0\n000002.jpg 2\n")
    assert data.train_set[0][1].tolist() == [1]
    assert data.validation_set[0][1].tolist() == [0]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (LIST.replace(b" 1 ", b" x "), "expected values of 1 and -1"),
        (LIST.replace(b"1\n", b"1\0\n"), "expected values of 1 and -1"),
        (LIST.replace(b"2\n", b"3\n", 1), "its first line is 3, but it lists 2 images"),
        (LIST.replace(b"2\n", b"3\n", 1) + b"000001.jpg -1 1\n", "lists 000001.jpg twice"),
        (LIST.replace(b"000001", b"holiday"), "holiday in list_attr_celeba.txt is no number"),
        (LIST.replace(b"000001", b"../../x/1\n"), "damaged: expected a name and 2 values"),
        (LIST + b"\xff\xfe 1 1\n", "is damaged: 'utf-8' codec"),
        (LIST.decode().encode("utf-16"), "is damaged: 'utf-8' codec"),
        (b"image_id,Male\n000001.jpg,1\n000002.jpg,-1\n", "expected a name and 1 values"),
    ],
)
def test_a_damaged_list_of_celeba_is_one_line(
    attributes: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        celeba(tmp_path, attributes)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("row", [b"000001.jpg x", b"000001.jpg 7", b"000001.jpg", b"\xff"])
def test_a_damaged_partition_of_celeba_is_one_line(row: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"damaged: (expected a name and 0, 1 or 2|'utf-8' codec)"):
        celeba(tmp_path, LIST, row + b"\n000002.jpg 2\n")


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = b"".join(struct.pack(">I", size) for size in values.shape)
    return struct.pack(">HBB", 0, 8, values.ndim) + sizes + values.tobytes()


def write_digits(root: Path, images: bytes, labels: bytes, ending: str = "") -> MNIST:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / f"t10k-images-idx3-ubyte{ending}").write_bytes(images)
    (raw / f"t10k-labels-idx1-ubyte{ending}").write_bytes(labels)
    return MNIST(str(root))


IMAGES = idx(np.zeros((5, 28, 28), np.uint8))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES, idx(np.zeros(4, np.uint8)), "has 5 images, but .* has 4 labels"),
        (IMAGES, idx(np.full(5, 200, np.uint8)), "has the label 200, expected 0 to 9"),
        (IMAGES[:99], idx(np.zeros(5, np.uint8)), "cannot be read"),
        (b"<html>403 Forbidden", idx(np.zeros(5, np.uint8)), r"cannot be read \(AssertionError\)"),
    ],
)
def test_damaged_digits_are_one_line(
    images: bytes, labels: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        write_digits(tmp_path, images, labels).setup("validate")


def test_a_packed_file_that_grows_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = gzip.compress(idx(np.zeros(5, np.uint8)))
    data = write_digits(tmp_path, gzip.compress(IMAGES), labels, ".gz")
    monkeypatch.setattr(mnist, "_MAX_BYTES", len(IMAGES) - 1)
    with pytest.raises(InputError, match=f"unpacks to more than {len(IMAGES) - 1:,} bytes"):
        data.setup("validate")
    monkeypatch.setattr(mnist, "_MAX_BYTES", len(IMAGES))
    data.setup("validate")
    assert len(data.validation_set) == 5  # type: ignore[arg-type]
