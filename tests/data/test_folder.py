from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gans.data import CelebA, DataMissing, Folder
from lightning_gans.data import check_readable as survey_module
from lightning_gans.data.check_readable import UnreadableImages, check_readable
from lightning_gans.data.images import ImageFiles, crop_box, find_images, image_size, open_image

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def write(path: Path, colour: tuple[int, ...] | int = RED, size: tuple[int, int] = (6, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


def write_numbered(root: Path, n: int) -> None:
    """Images 000.png, 001.png, ... whose grey level is their number."""
    for i in range(n):
        write(root / f"{i:03}.png", i)


def numbers(dataset: object) -> list[int]:
    assert isinstance(dataset, ImageFiles)
    return [round(float((dataset[i][0].mean() + 1) * 127.5)) for i in range(len(dataset))]


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.array(open_image(path))


# --- decoding


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257], [1000, 32896, 65000, 65535]], np.uint16)
    expected = np.round(values / 257)
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
        np.testing.assert_array_equal(pixels(tmp_path / name), expected)
    Image.fromarray(values.astype(">u2")).save(tmp_path / "big.tif")
    np.testing.assert_array_equal(pixels(tmp_path / "big.tif"), expected)


def test_sixteen_bits_of_a_pgm_file_are_scaled(tmp_path: Path) -> None:
    content = b"P5 2 1 65535\n" + np.array([257, 65535], ">u2").tobytes()
    (tmp_path / "pgm.png").write_bytes(content)
    np.testing.assert_array_equal(pixels(tmp_path / "pgm.png"), [[1, 255]])


def test_pixels_without_a_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(np.full((2, 2), 70_000, np.int32)).save(tmp_path / "i.tif")
    # a mask of few classes would be black if it were scaled as 16 bits
    Image.fromarray(np.full((2, 2), 7, np.int32)).save(tmp_path / "mask.tif")
    for name in ("f.tif", "i.tif", "mask.tif"):
        with pytest.raises(ValueError, match="range is unknown"):
            open_image(tmp_path / name)


def test_transparency_shows_white(tmp_path: Path) -> None:
    rgba = Image.new("RGBA", (3, 1), (*RED, 255))
    rgba.putpixel((1, 0), (*RED, 0))
    rgba.putpixel((2, 0), (*RED, 51))
    rgba.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        pixels(tmp_path / "a.png"), [[[255, 0, 0], [255, 255, 255], [255, 204, 204]]]
    )
    grey = Image.new("LA", (2, 1), (10, 255))
    grey.putpixel((1, 0), (10, 0))
    grey.save(tmp_path / "la.png")
    np.testing.assert_array_equal(pixels(tmp_path / "la.png"), [[[10] * 3, [255] * 3]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(pixels(tmp_path / "p.png"), [[RED, GREEN]])
    palette.save(tmp_path / "pt.png", transparency=1)
    np.testing.assert_array_equal(pixels(tmp_path / "pt.png"), [[RED, (255, 255, 255)]])


def test_other_colour_spaces(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    assert np.abs(pixels(tmp_path / "cmyk.jpg").astype(int) - RED).max() <= 3
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "one.png")
    np.testing.assert_array_equal(pixels(tmp_path / "one.png"), [[[255] * 3, [0] * 3]])


def test_images_stand_upright(tmp_path: Path) -> None:
    lying = np.zeros((8, 16, 3), np.uint8)
    lying[:, :8] = RED
    lying[:, 8:] = GREEN
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: the left side becomes the top
    Image.fromarray(lying).save(tmp_path / "a.png", exif=exif)
    turned = pixels(tmp_path / "a.png")
    assert turned.shape == (16, 8, 3)
    assert (turned[:8] == RED).all()
    assert (turned[8:] == GREEN).all()
    assert check_readable(tmp_path, ["a.png"]) == [(8, 16)]


# --- geometry


def test_what_is_kept() -> None:
    assert crop_box((10, 4), "center") == (3, 0, 7, 4)
    assert crop_box((4, 11), "center") == (0, 3, 4, 7)
    assert crop_box((10, 4), "none") == (0, 0, 10, 4)
    assert crop_box((10, 9), (1, 2, 3, 4)) == (1, 2, 7, 5)
    with pytest.raises(ValueError, match="leaves nothing of 10 x 9"):
        crop_box((10, 9), (5, 0, 5, 0))


def test_crop_and_resize(tmp_path: Path) -> None:
    wide = np.zeros((4, 12, 3), np.uint8)
    wide[:, :4] = RED
    wide[:, 4:8] = GREEN
    Image.fromarray(wide).save(tmp_path / "a.png")

    def load(**settings: object) -> torch.Tensor:
        data = Folder(str(tmp_path), validation=0, **settings)  # type: ignore[arg-type]
        data.setup()
        x, y = data.train_set[0]
        assert x.dtype == torch.float32
        assert x.shape == data.image_shape
        assert int(y) == 0
        return x

    green = torch.tensor([-1.0, 1.0, -1.0]).view(3, 1, 1)
    red = torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1)
    # a resize that looked beyond the crop would mix in red and black
    assert torch.equal(load(resolution=8, crop="center"), green.expand(3, 8, 8))
    assert torch.equal(load(resolution=2, crop=(0, 0, 8, 0)), red.expand(3, 2, 2))
    squashed = load(resolution=12, crop="none")
    assert torch.equal(squashed[:, :, 1:2], red.expand(3, 12, 1))
    assert torch.equal(squashed[:, :, 10:11], -torch.ones(3, 12, 1))
    grey = load(resolution=4, channels=1)
    assert torch.allclose(grey, torch.full((1, 4, 4), round(0.587 * 255) / 127.5 - 1))


def test_clean_fid_resizing_is_antialiased_and_keeps_the_axes(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    stripes[:32] //= 2
    Image.fromarray(stripes).save(tmp_path / "a.png")
    data = Folder(str(tmp_path), 8, channels=1, validation=0)
    data.setup()
    x = data.train_set[0][0][0]
    # stripes finer than the new pixels become their mean, the upper half darker than the lower
    assert torch.allclose(x[:3, 1:-1], torch.tensor(63.5 / 127.5 - 1), atol=0.03)
    assert torch.allclose(x[5:, 1:-1], torch.tensor(0.0), atol=0.03)


def test_batches_are_their_images(tmp_path: Path) -> None:
    write_numbered(tmp_path, 5)
    data = Folder(str(tmp_path), 6, validation=0, batch_size=5)
    data.setup()
    (x, y) = next(iter(data.val_dataloader()))
    assert x.shape == (5, 3, 6, 6)
    assert x.is_contiguous()
    for i in range(5):
        assert torch.equal(x[i], data.train_set[i][0])
    assert y.tolist() == [0] * 5
    assert y.dtype == torch.int64


# --- finding, labels, split


def test_finding(tmp_path: Path) -> None:
    expected = []
    for name in ("b.PNG", "a/x.jpeg", "a/b/y.webp", "c.bmp", "d.tif", "e.TIFF", "f.jpg"):
        write(tmp_path / name)
        expected.append(name)
    for name in ("._b.png", ".hidden/x.png"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert find_images(tmp_path) == sorted(expected)


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "x.png")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert find_images(root) == ["linked/x.png"]


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("wild/1.png", "cat/2.png", "cat/deep/3.png", "dog/4.png"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    data = Folder(str(tmp_path), 6, validation=0)
    assert data.classes == (3,)
    data.setup()
    assert isinstance(data.train_set, ImageFiles)
    assert [Path(path).name for path in data.train_set.paths] == [
        "2.png", "3.png", "4.png", "1.png"
    ]  # fmt: skip
    assert data.train_set.labels.tolist() == [0, 0, 1, 2]
    write(tmp_path / "loose.png")
    data = Folder(str(tmp_path), 6, validation=0)
    assert data.classes == ()
    data.setup()
    assert isinstance(data.train_set, ImageFiles)
    assert data.train_set.labels.tolist() == [0] * 5


def split(root: Path, validation: float, **settings: int) -> tuple[list[int], list[int]]:
    data = Folder(str(root), 6, channels=1, validation=validation, **settings)  # type: ignore[arg-type]
    data.setup()
    return numbers(data.train_set), numbers(data.validation_set)


def test_last_images_by_name(tmp_path: Path) -> None:
    write_numbered(tmp_path, 10)
    assert split(tmp_path, 3) == (list(range(7)), [7, 8, 9])


def test_random_fraction(tmp_path: Path) -> None:
    write_numbered(tmp_path, 20)
    torch.manual_seed(0)
    train, validation = split(tmp_path, 0.25)
    assert len(validation) == 5
    assert sorted(train + validation) == list(range(20))
    assert train == sorted(train)
    assert validation != list(range(15, 20))
    torch.manual_seed(1)
    assert split(tmp_path, 0.25) == (train, validation)
    assert split(tmp_path, 0.25, split_seed=1)[1] != validation
    assert len(split(tmp_path, 0.001)[1]) == 1


def test_validation_on_the_training_images(tmp_path: Path) -> None:
    write_numbered(tmp_path, 4)
    for nothing in (0, 0.0):
        assert split(tmp_path, nothing) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_validation_must_leave_something(tmp_path: Path, decoded: list[str]) -> None:
    write_numbered(tmp_path, 4)
    with pytest.raises(ValueError, match=r"^validation=4 takes all 4 images.*$"):
        Folder(str(tmp_path), 6, validation=4).prepare_data()
    assert not decoded  # minutes of work for nothing


def test_setup_again_changes_nothing(tmp_path: Path) -> None:
    write_numbered(tmp_path, 4)
    data = Folder(str(tmp_path), 6, validation=1)
    data.prepare_data()
    data.setup("fit")
    train = data.train_set
    data.setup("test")
    assert data.train_set is train


def test_missing_folder_and_empty_folder(tmp_path: Path) -> None:
    for root in (tmp_path / "none", tmp_path):
        with pytest.raises(DataMissing) as caught:
            Folder(str(root), 6).setup()
        assert str(root) in str(caught.value)
        assert "\n" not in str(caught.value)


# --- unreadable files


def damage(root: Path) -> list[str]:
    """Files that cannot be decoded, each in another way."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name in ("cut.jpg", "cut.png", "flipped.png"):
        Image.fromarray(noise).save(root / name)
    for name in ("cut.jpg", "cut.png"):
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])
    content = (root / "flipped.png").read_bytes()
    (root / "flipped.png").write_bytes(content[:60] + bytes(30) + content[90:])
    (root / "empty.png").write_bytes(b"")
    (root / "text.jpg").write_text("not an image")
    Image.fromarray(np.ones((2, 2), np.float32)).save(root / "floats.tif")
    return ["cut.jpg", "cut.png", "empty.png", "flipped.png", "floats.tif", "text.jpg"]


def test_unreadable_files_are_named_in_one_line(tmp_path: Path) -> None:
    write_numbered(tmp_path, 5)
    bad = damage(tmp_path)
    data = Folder(str(tmp_path), 6)
    with pytest.raises(UnreadableImages) as caught:
        data.setup()
    message = str(caught.value)
    assert message.startswith("6 of 11 images in")
    assert "\n" not in message
    assert re.findall(r"(\w+\.\w+) \(", message) == bad
    assert message.count("truncated") >= 1


def test_only_ten_are_named(tmp_path: Path) -> None:
    for i in range(13):
        (tmp_path / f"{i:02}.png").write_bytes(b"")
    with pytest.raises(UnreadableImages, match=r"09\.png \(.*\) and 3 more;") as caught:
        Folder(str(tmp_path), 6).setup()
    assert "10.png" not in str(caught.value)


def test_skipping_keeps_the_others_on_their_side(tmp_path: Path) -> None:
    write_numbered(tmp_path, 20)
    train, validation = split(tmp_path, 0.25)
    for number in (train[3], validation[1]):
        (tmp_path / f"{number:03}.png").write_bytes(b"")
    data = Folder(str(tmp_path), 6, validation=0.25, channels=1, on_error="skip")
    with pytest.warns(UserWarning, match="2 of 20 images"):
        data.prepare_data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.setup()  # warns once
    assert numbers(data.train_set) == [n for n in train if n != train[3]]
    assert numbers(data.validation_set) == [n for n in validation if n != validation[1]]


def test_margins_that_leave_nothing_are_found_before_training(tmp_path: Path) -> None:
    write(tmp_path / "a.png", size=(20, 20))
    write(tmp_path / "b.png", size=(20, 9))
    data = Folder(str(tmp_path), 6, crop=(0, 5, 0, 5), validation=0)
    with pytest.raises(UnreadableImages, match=r"^1 of 2 .*: b\.png \(crop .* nothing of 20 x 9"):
        data.setup()


# --- memory


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that the survey decodes from now on."""
    names: list[str] = []

    def note(path: Path) -> tuple[int, int]:
        names.append(path.name)
        return image_size(path)

    monkeypatch.setattr(survey_module, "image_size", note)
    return names


def test_second_start_decodes_nothing(tmp_path: Path, decoded: list[str], cache: Path) -> None:
    write(tmp_path / "a.png", size=(3, 4))
    write(tmp_path / "b.png", size=(5, 6))
    assert check_readable(tmp_path, ["a.png", "b.png"]) == [(3, 4), (5, 6)]
    assert sorted(decoded) == ["a.png", "b.png"]
    assert [path.suffix for path in (cache / "lightning_gans").iterdir()] == [".json"]
    decoded.clear()
    assert check_readable(tmp_path, ["a.png", "b.png"]) == [(3, 4), (5, 6)]
    assert not decoded


def test_any_change_is_looked_at(tmp_path: Path, decoded: list[str]) -> None:
    write(tmp_path / "a.png", size=(3, 4))
    os.utime(tmp_path / "a.png", ns=(10, 10))
    check_readable(tmp_path, ["a.png"])
    decoded.clear()
    os.utime(tmp_path / "a.png", ns=(10, 11))
    check_readable(tmp_path, ["a.png"])
    assert decoded == ["a.png"]
    write(tmp_path / "b.png", size=(3, 4))
    os.utime(tmp_path / "b.png", ns=(10, 11))
    decoded.clear()
    check_readable(tmp_path, ["b.png"])  # the same bytes and time under another name
    assert decoded == ["b.png"]
    decoded.clear()
    (tmp_path / "a.png").write_bytes(b"")
    os.utime(tmp_path / "a.png", ns=(10, 11))
    assert isinstance(check_readable(tmp_path, ["a.png"])[0], str)


def test_what_failed_is_tried_again(tmp_path: Path, decoded: list[str]) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    check_readable(tmp_path, ["a.png", "b.png"])
    decoded.clear()
    again = check_readable(tmp_path, ["a.png", "b.png"])
    assert decoded == ["b.png"]
    assert again[0] == (6, 6)
    assert isinstance(again[1], str)


@pytest.mark.parametrize("content", ["", "{}", "[[1", "[[3]]", "[7]", "null", "[[1,2],[3,4]]"])
def test_damaged_memory_is_no_error(
    content: str, tmp_path: Path, decoded: list[str], cache: Path
) -> None:
    write(tmp_path / "a.png")
    check_readable(tmp_path, ["a.png"])
    (memory,) = (cache / "lightning_gans").iterdir()
    memory.write_text(content)
    decoded.clear()
    assert check_readable(tmp_path, ["a.png"]) == [(6, 6)]
    assert decoded == ["a.png"]
    decoded.clear()
    check_readable(tmp_path, ["a.png"])  # and the memory is written anew
    assert not decoded


def test_nowhere_to_remember_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "images" / "a.png")
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert check_readable(tmp_path / "images", ["a.png"]) == [(6, 6)]


def test_memory_is_in_the_home_without_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "images" / "a.png")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    check_readable(tmp_path / "images", ["a.png"])
    assert len(list((tmp_path / ".cache" / "lightning_gans").iterdir())) == 1


# --- CelebA

FACES = {
    1: "1 -1",
    162_770: "-1 1",
    162_771: "1 1",
    182_637: "1 1",
    182_638: "-1 -1",
    202_599: "1 -1",
}


def write_faces(root: Path) -> None:
    lines = [f"{number:06}.jpg  {row}" for number, row in FACES.items()]
    for shade, number in enumerate(FACES):
        write(root / "img_align_celeba" / f"{number:06}.jpg", (shade * 40,) * 3, (178, 218))
    # not in the order of the names
    text = "\n".join([str(len(lines)), "Bangs Male ", *reversed(lines)])
    (root / "list_attr_celeba.txt").write_text(text + "\n")


def faces(dataset: object) -> list[str]:
    assert isinstance(dataset, ImageFiles)
    return [Path(path).stem for path in dataset.paths]


def test_celeba_without_its_partition_file(tmp_path: Path) -> None:
    write_faces(tmp_path)
    data = CelebA(str(tmp_path), attributes=("Male", "Bangs"), resolution=16, batch_size=2)
    assert data.image_shape == (3, 16, 16)
    data.prepare_data()
    data.setup()
    assert faces(data.train_set) == ["000001", "162770"]
    assert faces(data.validation_set) == ["182638", "202599"]
    x, y = next(iter(data.val_dataloader()))
    assert x.shape == (2, 3, 16, 16)
    assert y.dtype == torch.int64
    assert y.tolist() == [[0, 0], [0, 1]]
    assert [round(float(v)) for v in (x.mean((1, 2, 3)) + 1) * 127.5] == [160, 200]
    assert isinstance(data.train_set, ImageFiles)
    assert data.train_set.labels.tolist() == [[0, 1], [1, 0]]


def test_celeba_with_its_partition_file(tmp_path: Path) -> None:
    write_faces(tmp_path)
    parts = [2, 0, 1, 0, 2, 1]
    lines = [f"{number:06}.jpg {part}" for number, part in zip(FACES, parts, strict=True)]
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(lines))
    data = CelebA(str(tmp_path), attributes=("Male",), resolution=4)
    data.setup()
    assert faces(data.train_set) == ["162770", "182637"]
    assert faces(data.validation_set) == ["000001", "182638"]
    (tmp_path / "list_eval_partition.txt").write_text(lines[0])
    with pytest.raises(ValueError, match=r"does not name 162770\.jpg"):
        CelebA(str(tmp_path), attributes=("Male",)).setup()


def test_celeba_is_squashed_by_default(tmp_path: Path) -> None:
    write_faces(tmp_path)
    half = np.zeros((218, 178, 3), np.uint8)
    half[:20] = 255
    Image.fromarray(half).save(tmp_path / "img_align_celeba" / "000001.jpg", quality=100)
    whole = CelebA(str(tmp_path), attributes=("Male",), resolution=32)
    square = CelebA(str(tmp_path), attributes=("Male",), resolution=32, crop="center")
    for data, brightness in ((whole, 1.0), (square, 0.0)):
        data.setup()
        top = float(data.train_set[0][0][:, 0].mean() + 1) / 2
        assert top == pytest.approx(brightness, abs=0.05)


def test_celeba_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"no list_attr_celeba\.txt in .*data\.root"):
        CelebA(str(tmp_path)).setup()
    write_faces(tmp_path)
    with pytest.raises(ValueError, match=r"^CelebA has no attribute Smiling; it has Bangs, Male$"):
        CelebA(str(tmp_path)).prepare_data()
    (tmp_path / "img_align_celeba" / "162771.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImages, match=r"^1 of 6 images .*: 162771\.jpg \("):
        CelebA(str(tmp_path), attributes=("Male",)).setup()
    (tmp_path / "img_align_celeba" / "000001.jpg").write_bytes(b"")
    data = CelebA(str(tmp_path), attributes=("Male",), on_error="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.setup()
    assert faces(data.train_set) == ["162770"]
    (tmp_path / "img_align_celeba" / "000001.jpg").unlink()
    with pytest.raises(DataMissing, match=r"1 of the 6 images .* the first is 000001\.jpg"):
        CelebA(str(tmp_path), attributes=("Male",)).setup()
    lines = (tmp_path / "list_attr_celeba.txt").read_text()
    (tmp_path / "list_attr_celeba.txt").write_text(lines + "202600.jpg 1\n")
    with pytest.raises(ValueError, match=r"list_attr_celeba\.txt in .* is damaged"):
        CelebA(str(tmp_path), attributes=("Male",)).setup()
