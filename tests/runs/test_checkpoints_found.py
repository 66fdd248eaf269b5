"""Which files in a run's folder are its checkpoints, and what a folder without one is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lightning_gans.runs.folder import CheckpointMissing, checkpoints, find, newest
from lightning_gans.runs.report import newest_pictures
from tests.support.run_folders import checkpoint

FOREIGN = [
    "last-step=99 (copy).ckpt",
    "last-step=99 (Kopie).ckpt",
    "last-step=99.ckpt.bak",
    "last-step=99.ckpt~",
    ".last-step=99.ckpt.swp",
    "last-step=99.part",
    "copy of last-step=99.ckpt",
    "last-step=٣.ckpt",
    "last-step=99².ckpt",
    "last-step=-99.ckpt",
    "last-step=1e9.ckpt",
    "last-step=0099.ckpt",
    "last-step=9999999999999999999999.ckpt",
    "last-step=99\n.ckpt",
    "last-step=.ckpt",
    "LAST-STEP=99.ckpt",
    "old-step=99.ckpt",
    "._last-step=99.ckpt",
    ".DS_Store",
    "Thumbs.db",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_that_somebody_put_among_the_checkpoints_is_not_one(
    name: str, tmp_path: Path
) -> None:
    own = checkpoint(tmp_path / "checkpoints" / "last-step=12.ckpt")
    checkpoint(own.with_name(name))
    assert find(tmp_path) == newest(tmp_path) == own
    assert checkpoints(tmp_path) == [own]
    for kind in ("best", "failed"):
        assert newest(tmp_path, kind) is None


def test_a_folder_or_a_pipe_with_the_name_of_a_checkpoint_is_not_one(tmp_path: Path) -> None:
    own = checkpoint(tmp_path / "checkpoints" / "last-step=12.ckpt")
    own.with_name("last-step=13.ckpt").mkdir()
    own.with_name("failed-step=14.ckpt").mkdir()
    os.mkfifo(own.with_name("last-step=15.ckpt"))
    own.with_name("last-step=16.ckpt").symlink_to(own.with_name("nowhere"))
    assert find(tmp_path) == own
    assert checkpoints(tmp_path) == [own]


def test_the_report_lists_pictures_of_the_run_only(tmp_path: Path) -> None:
    for name in ("samples-step=9.png", "samples-step=10.png", "reconstructions-step=10.png"):
        (tmp_path / name).touch()
    for name in FOREIGN:
        if name == "old-step=99.ckpt":
            continue  # measurements of one's own may draw pictures of any kind
        (tmp_path / name.replace("ckpt", "png").replace("last", "samples")).touch()
    (tmp_path / "samples-step=11.png").mkdir()
    found = [path.name for path in newest_pictures(tmp_path)]
    assert found == ["reconstructions-step=10.png", "samples-step=10.png"]


def test_a_checkpoint_that_a_run_replaces_while_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between listing and opening, a run that trains saves twice and removes both that it had."""
    for step in (1, 2):
        checkpoint(tmp_path / "checkpoints" / f"last-step={step}.ckpt")
    opened: list[Path] = []

    def replaced(path: Path) -> str | None:
        if not opened:
            for step in (1, 2):
                checkpoint(path.with_name(f"last-step={step + 2}.ckpt"))
                path.with_name(f"last-step={step}.ckpt").unlink()
        opened.append(path)
        return None if path.exists() else "no such file"

    monkeypatch.setattr("lightning_gans.runs.folder.damage", replaced)
    found = newest(tmp_path)
    assert found is not None
    assert found.name == "last-step=4.ckpt"


@pytest.mark.parametrize(
    ("files", "given", "message"),
    [
        ([], "nowhere", "nowhere: it does not exist"),
        ([], ".", "looked for checkpoints/last-step=N.ckpt"),
        (["notes.txt"], "images", "looked for images/checkpoints/last-step=N.ckpt"),
        (
            ["checkpoints/failed-step=3.ckpt"],
            ".",
            "the run failed and left checkpoints/failed-step=3.ckpt",
        ),
        (["checkpoints/best-step=3.ckpt"], "checkpoints", "give checkpoints/best-step=3.ckpt"),
        (
            ["gan/mnist/now/checkpoints/last-step=3.ckpt"],
            ".",
            "those of runs are in it, such as gan/mnist/now",
        ),
    ],
)
def test_a_folder_without_a_checkpoint_is_told_what_was_looked_for(
    files: list[str], given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        checkpoint(Path(name))
    if given == "images":
        Path(given).mkdir()
    with pytest.raises(CheckpointMissing) as caught:
        find(Path(given))
    assert message in str(caught.value)


def test_a_folder_of_damaged_checkpoints_names_them(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint(tmp_path / "checkpoints" / f"last-step={step}.ckpt").write_bytes(b"PK")
    with (
        pytest.warns(UserWarning, match=r"is damaged"),
        pytest.raises(CheckpointMissing, match=r"damaged: last-step=1.ckpt, last-step=2.ckpt"),
    ):
        find(tmp_path)
