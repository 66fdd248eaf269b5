"""Decoded images in the user's cache: what is decoded again, and when."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image
from torch import Tensor

from lightning_gans.data import Folder, images
from lightning_gans.data import decoded as decoded_module
from lightning_gans.data.decoded import DecodedFiles, decoded_files
from lightning_gans.metrics.fingerprint import fingerprint

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Some colourful images."""
    root = tmp_path / "photographs"
    root.mkdir()
    random = np.random.default_rng(0)
    for i in range(COUNT):
        pixels = random.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02}.png")
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded, as a growing list."""
    found: list[str] = []
    plain = images.read_pixels

    def counted(path: str, *arguments: object) -> Tensor:
        found.append(Path(path).name)
        return plain(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "read_pixels", counted)
    return found


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is told, as a growing list."""
    found: list[str] = []
    monkeypatch.setattr(decoded_module, "rank_zero_info", found.append)
    return found


def everything(root: Path, cache: float = 10.0, **settings: object) -> Tensor:
    """All images, as a run that begins now reads them, in batches and one by one."""
    data = Folder(str(root), 8, validation=0, cache=cache, **settings)  # type: ignore[arg-type]
    data.setup()
    batched = data.train_set.__getitems__(list(range(COUNT)))[0]  # type: ignore[attr-defined]
    assert torch.equal(batched[3], data.train_set[3][0])
    whole: Tensor = batched
    return whole


def stored() -> list[Path]:
    return sorted(Path(os.environ["XDG_CACHE_HOME"], "lightning_gans", "decoded").glob("*"))


def test_a_second_run_decodes_no_file_and_has_the_same_images(
    folder: Path, decoded: list[str]
) -> None:
    expected = everything(folder, cache=0)
    assert not stored()
    decoded.clear()
    for _ in range(2):
        assert torch.equal(everything(folder), expected)
    assert sorted(decoded) == [f"{i:02}.png" for i in range(COUNT)]
    assert len(stored()) == 1


def test_a_changed_file_and_other_settings_are_decoded_again(
    folder: Path, decoded: list[str]
) -> None:
    before = everything(folder)
    Image.new("RGB", (20, 20), "red").save(folder / "05.png")
    decoded.clear()
    after = everything(folder)
    assert "05.png" in decoded
    assert torch.equal(after[4], before[4])
    torch.testing.assert_close(after[5].mean((1, 2)), torch.tensor([1.0, -1.0, -1.0]))
    for settings in ({"channels": 1}, {"crop": "none"}, {"crop": (1, 2, 3, 4)}):
        expected = everything(folder, cache=0, **settings)
        for _ in range(2):
            assert torch.equal(everything(folder, **settings), expected)


def test_processes_that_load_data_store_what_they_decode(folder: Path, decoded: list[str]) -> None:
    expected = everything(folder, cache=0)
    data = Folder(str(folder), 8, validation=0, batch_size=4, workers=2)
    data.setup()
    found = torch.cat([x for x, _ in data.val_dataloader()])
    assert torch.equal(found, expected)
    decoded.clear()
    assert torch.equal(everything(folder), expected)
    assert not decoded


@pytest.mark.parametrize("damage", ["a bit", "half", "longer", "empty"])
def test_a_damaged_cache_is_decoded_again(folder: Path, decoded: list[str], damage: str) -> None:
    expected = everything(folder)
    (path,) = stored()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(
        {"a bit": content, "half": content[: len(content) // 2], "longer": content * 2}.get(
            damage, b""
        )
    )
    decoded.clear()
    assert torch.equal(everything(folder), expected)
    assert "11.png" in decoded
    decoded.clear()
    assert torch.equal(everything(folder), expected)
    assert not decoded


def test_a_pipe_in_place_of_the_cache_does_not_block(folder: Path, decoded: list[str]) -> None:
    expected = everything(folder)
    (path,) = stored()
    path.unlink()
    os.mkfifo(path)
    assert torch.equal(everything(folder), expected)


def test_a_full_disk_costs_the_cache_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    expected = everything(folder, cache=0)
    written = iter(range(5))

    def full(file: int, content: bytes, offset: int) -> int:
        if next(written, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(file, content, offset)

    plain = os.pwrite
    monkeypatch.setattr(os, "pwrite", full)
    assert torch.equal(everything(folder), expected)
    (line,) = (line for line in lines if "holds no more decoded images" in line)
    assert "No space left on device" in line


def test_a_folder_beyond_the_limit_is_not_stored_and_a_line_says_so(
    folder: Path, lines: list[str]
) -> None:
    size = COUNT * (3 * 8 * 8 + 4)
    everything(folder, cache=(size - 1) / 1e9)
    assert not stored()
    (line,) = lines
    assert line.endswith("they are decoded again in each epoch")
    everything(folder, cache=size / 1e9)
    assert [path.stat().st_size for path in stored()] == [size]


def test_the_folder_that_was_not_used_for_longest_gives_way(folder: Path) -> None:
    size = COUNT * (3 * 8 * 8 + 4)

    def use(crop: object, time: int) -> Path:
        everything(folder, cache=2 * size / 1e9, crop=crop)
        (newest,) = set(stored()) - set(kept)
        os.utime(newest, (time, time))
        kept.append(newest)
        return newest

    kept: list[Path] = []
    first, second = use("center", 1000), use("none", 2000)
    assert stored() == sorted([first, second])
    # used again, so that the other one is now the oldest
    everything(folder, cache=2 * size / 1e9)
    third = use((1, 1, 1, 1), 3000)
    assert stored() == sorted([first, third])


def test_statistics_of_real_images_are_those_of_the_same_data(folder: Path) -> None:
    found = []
    for cache in (0, 10, 10):
        data = Folder(str(folder), 8, validation=0, cache=cache)
        data.setup()
        found.append((fingerprint(data.train_set), data.describe()))
    assert len(set(found)) == 1


def test_a_process_that_gets_the_images_opens_the_file_itself(tmp_path: Path) -> None:
    file = DecodedFiles(tmp_path / "some.pixels", 1000, (3, 16, 16))
    pixels = torch.arange(768, dtype=torch.int64).to(torch.uint8).view(3, 16, 16)
    file.write(7, pixels)
    sent = pickle.dumps(file)
    assert len(sent) < 1000
    found = pickle.loads(sent)
    assert torch.equal(found.read(7), pixels)
    assert found.read(8) is None


def place(
    folder: Path, shape: tuple[int, int, int] = (3, 8, 8), prepared: str = "center", most: float = 1
) -> Path:
    """Where the pixels of a folder are stored."""
    names = sorted(path.name for path in folder.iterdir())
    found = decoded_files(folder, names, shape, prepared, most)
    assert found is not None
    return found.path


def test_another_shape_or_another_version_of_pillow_is_stored_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = place(folder)
    assert place(folder) == first
    found = {first, place(folder, prepared="none")}
    # shapes of as many values, whose files are of one size
    found |= {place(folder, (3, 4, 16)), place(folder, (12, 4, 4))}
    monkeypatch.setattr(PIL, "__version__", "99.0")
    found.add(place(folder))
    assert len(found) == 5


@pytest.mark.parametrize("change", ["time", "size", "another file", "one more"])
def test_any_change_of_a_file_is_noticed(folder: Path, change: str) -> None:
    before, file = place(folder), folder / "05.png"
    stat = file.stat()
    if change == "size":
        file.write_bytes(file.read_bytes() + b" ")
    elif change == "another file":
        shutil.copy(file, folder / "new")
        (folder / "new").replace(file)
    elif change == "one more":
        shutil.copy(file, folder / "055.png")
    if change != "time":
        # as a program does that keeps the times of files
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    assert place(folder) != before


def test_at_most_half_of_what_is_free_on_the_disk_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    size = COUNT * (3 * 8 * 8 + 4)

    def free(amount: int) -> None:
        usage = shutil.disk_usage(folder)._replace(free=amount)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    plain = shutil.disk_usage
    free(2 * size - 2)
    everything(folder)
    assert not stored()
    assert lines[-1].endswith("they are decoded again in each epoch")
    monkeypatch.setattr(shutil, "disk_usage", plain)
    free(2 * size)
    everything(folder)
    assert [path.stat().st_size for path in stored()] == [size]


def test_an_operating_system_that_writes_a_few_bytes_at_a_time_stores_whole_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda f, content, at: plain(f, content[:7], at))
    file = DecodedFiles(tmp_path / "some.pixels", 4, (3, 5, 5))
    pixels = torch.arange(75).to(torch.uint8).view(3, 5, 5)
    file.write(2, pixels)
    found = file.read(2)
    assert found is not None
    assert torch.equal(found, pixels)


def test_an_image_whose_checksum_is_zero_is_stored_too(tmp_path: Path) -> None:
    content = bytes([0x9D, 0x0A, 0xD9, 0x6D])
    assert zlib.crc32(content) == 0
    file = DecodedFiles(tmp_path / "some.pixels", 2, (1, 2, 2))
    pixels = torch.tensor(list(content), dtype=torch.uint8).view(1, 2, 2)
    file.write(1, pixels)
    found = file.read(1)
    assert found is not None
    assert torch.equal(found, pixels)


def test_a_file_that_is_not_needed_any_more_is_closed(tmp_path: Path) -> None:
    opened = Path("/proc/self/fd")
    if not opened.is_dir():
        pytest.skip("needs /proc")

    def is_open() -> bool:
        return any(link.resolve().name == "some.pixels" for link in opened.iterdir())

    file = DecodedFiles(tmp_path / "some.pixels", 4, (3, 5, 5))
    assert is_open()
    del file
    assert not is_open()
