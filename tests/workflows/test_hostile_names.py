"""Names of files that hold anything, on a console that shows ASCII alone."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_gans.cli import main
from lightning_gans.text import unescape

NAMES = (
    b"plain.png",
    b"two\nlines.png",
    b"bytes \xff\xfe.png",
    b"\x1b[31mred\x1b[2J.png",
    b'comma, "quote"\t.png',
    b"\\x0a.png",
    "ω².png".encode(),
    b"=1+1.png",
)
SMALL = ("model.latent_dim=6", "model.generator.channels=2", "model.discriminator.channels=2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of hostile names in a folder of such a name, and a trained model."""
    folder = tmp_path_factory.mktemp("place")
    images = folder / os.fsdecode(b"i\xffmages \x1b[1m\n")
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (len(NAMES), 16, 16), dtype=np.uint8)
    for name, image in zip(NAMES, pixels, strict=True):
        Image.fromarray(image).save(images / os.fsdecode(name))
    before = Path.cwd()
    os.chdir(folder)
    try:
        main(
            [
                "model=dlsgan",
                "data=folder",
                f"data.root={shutil.copytree(images, folder / 'plain')}",
                "data.resolution=16",
                "data.channels=1",
                "data.validation=4",
                "data.batch_size=4",
                "evaluation.features=null",
                "trainer.accelerator=cpu",
                "trainer.max_steps=1",
                *SMALL,
            ]
        )
    finally:
        os.chdir(before)
        os.environ.pop("LIGHTNING_GANS_RUN", None)
    return folder


@contextmanager
def ascii_console() -> Iterator[Callable[[], str]]:
    """What the block prints to a console that shows ASCII alone."""
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)

    def printed() -> str:
        console.seek(0)
        return console.read()

    with redirect_stdout(console), redirect_stderr(console):
        yield printed


def images_of(place: Path) -> Path:
    (folder,) = (path for path in place.iterdir() if path.name.startswith("i"))
    return folder


def run_of(place: Path) -> Path:
    (run,) = (place / "runs" / "dlsgan" / "folder").iterdir()
    return run


def controls(text: str) -> list[str]:
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_an_inversion_lists_files_so_that_they_are_found_again(place: Path) -> None:
    images = images_of(place)
    with ascii_console() as printed:
        main(["invert", f"ckpt={run_of(place)}", f"images={images}", "steps=2", "restarts=1"])
        text = printed()
    (run,) = Path("runs/dlsgan").glob("*/*_invert")
    lines = (run / "images.txt").read_text(encoding="utf-8").splitlines()
    found = [os.fsencode(unescape(line.partition("\t")[2])) for line in lines]
    assert found == sorted(os.fsencode(images) + b"/" + name for name in NAMES)
    assert not controls(text)
    assert not controls((run / "report.md").read_text(encoding="utf-8"))
    # the settings, which can be repeated, name the same folder
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert config["images"] == str(images)


def test_scores_name_files_so_that_they_are_found_again(place: Path) -> None:
    images = images_of(place)
    (images / os.fsdecode(b"bad\n\xff.png")).write_bytes(b"")
    with ascii_console() as printed, pytest.raises(SystemExit) as caught:
        main(
            [
                *("ood", "score", f"ckpt={run_of(place)}", f"images={images}", "out=scores"),
                *("false_alarms=0.5", "device=cpu"),
            ]
        )
    (images / os.fsdecode(b"bad\n\xff.png")).unlink()
    text = printed()
    assert caught.value.code == 3, text
    assert not controls(text)
    with Path("scores/scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {os.fsencode(unescape(row["file"])) for row in rows} == {*NAMES, b"bad\n\xff.png"}


@pytest.mark.parametrize("command", [["invert", "steps=1"], ["ood", "score"]])
def test_a_folder_for_results_whose_name_is_not_utf8_is_refused(
    command: list[str], place: Path
) -> None:
    words = [f"ckpt={run_of(place)}", f"images={images_of(place)}", "out=\udcff"]
    with ascii_console() as printed, pytest.raises(SystemExit) as caught:
        main([*command, *words])
    assert caught.value.code == 2
    line = printed().splitlines()[-1]
    assert line == r"error: out=\udcff: expected a name in UTF-8; choose another"
    assert not Path("\udcff").exists()


@pytest.mark.parametrize(
    "word", ["model=ω", "trainer.max_steps=\x1b[31m", "--config=\udcff.yaml", "data.root=\udcff"]
)
def test_a_mistake_with_a_hostile_word_is_one_harmless_line(word: str) -> None:
    with ascii_console() as printed, pytest.raises(SystemExit) as caught:
        main(["train", "model=dlsgan", word])
    assert caught.value.code == 2
    text = printed()
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert not controls(text)
