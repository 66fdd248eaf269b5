"""Files that are replaced as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lightning_gans.runs.atomic import Unwritable, remove_leftovers, replacing, write_text


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_text(path, "old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["report.md"]


def test_another_name_of_a_file_keeps_its_content(tmp_path: Path) -> None:
    """A run that was copied with hard links (cp -al) does not change with its copy."""
    path, kept = tmp_path / "config.yaml", tmp_path / "copy.yaml"
    write_text(path, "a: 1\n")
    os.link(path, kept)
    os.link(path, tmp_path / "config.yaml.part")  # also what a kill left behind
    write_text(path, "ω: 2\r\n")
    assert (path.read_bytes(), kept.read_bytes()) == ("ω: 2\r\n".encode(), b"a: 1\n")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EROFS, "Read-only file system; that disk can only be read"),
        (errno.EIO, "Input/output error; that disk may be failing"),
        (errno.EACCES, "Permission denied; change the permissions"),
    ],
)
def test_an_error_of_the_disk_names_the_file(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> Any:
        raise OSError(number, os.strerror(number))  # as write does, without a name

    monkeypatch.setattr(os, "fsync", fail)
    path = tmp_path / "images" / "samples-step=3.png"
    with pytest.raises(Unwritable, match=f"{path.name} could not be written: {advice}") as caught:
        write_text(path, "x")
    assert isinstance(caught.value, OSError)
    assert not list(path.parent.iterdir())


def test_only_the_runs_own_leftovers_are_removed(tmp_path: Path) -> None:
    ours = {
        "metrics.csv.part",
        "report.html.part",
        "images/samples-step=3.png.part",
        "checkpoints/last-step=5.part",
        "checkpoints/best-step=5.ckpt.part",
        "predictions-1.safetensors.part",
    }
    others = {"movie.part", "images/my cat.png.part", "checkpoints/last-step=5 (copy).ckpt.part"}
    for name in (*ours, *others):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "report.md.part").mkdir()
    remove_leftovers(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.part")}
    assert left == {*others, "report.md.part"}
