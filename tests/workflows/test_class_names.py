"""Names of classes and attributes: from the data through the checkpoint to every command."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.models import AEDLSGAN, CAGAN
from lightning_gans.runs.tensor_files import read_tensors
from lightning_gans.workflows.info import class_names_in, info
from tests.support.command_line import only, small
from tests.support.pictures import draw

CLASSES = ("3", "disc", "Étoile rouge")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in subfolders, and with a list of attributes of others."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "sorted").mkdir()
    for seed, name in enumerate(CLASSES):
        draw(folder / "sorted" / name, 14, 16, seed)
    draw(folder / "loose", 40, 16)
    rows = [f"{i:02}.png,{i % 2},{int(i % 3 > 0)}\n" for i in range(40)]
    (folder / "attributes.csv").write_text("file,hat,Big Smile\n" + "".join(rows))
    return folder


def trained(place: Path, model: str, *words: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        options = [w for w in small(Path(words[0])) if w != "model=dlsgan"]
        main([f"model={model}", *options, *words[1:]])
    return only(place / "runs" / model / "folder")


@pytest.fixture(scope="module")
def classes(place: Path) -> Path:
    """A run of a CAGAN on subfolders."""
    return trained(place, "cagan", "sorted", "data.validation=10")


@pytest.fixture(scope="module")
def attributes(place: Path) -> Path:
    """A run of an AEDLSGAN on attributes in a CSV."""
    return trained(place, "aedlsgan", "loose", "data.labels=attributes.csv")


def test_subfolders_train_a_cagan_that_generates_a_class_by_its_name(
    classes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = lightning_gans.load(classes)
    assert isinstance(model, CAGAN)
    assert model.class_names == (CLASSES,)
    found = []
    for category in ("étoile rouge", "2", "3"):
        main(["generate", f"ckpt={classes}", "n=2", f"category={category}", f"out={category}"])
        found.append(read_tensors(Path(category, "latents.safetensors"))[0]["conditions"].argmax(1))
        assert f"of category {CLASSES[2 if category != '3' else 0]} and seed 0" in (
            capsys.readouterr().out
        )
    # the class that is called 3 is the first
    assert [numbers.tolist() for numbers in found] == [[2, 2], [2, 2], [0, 0]]
    with pytest.raises(SystemExit) as stopped:
        main(["generate", f"ckpt={classes}", "category=disk"])
    assert stopped.value.code == 2
    assert "or one of 3, disc, Étoile rouge, got disk (did you mean 'disc'?)" in (
        capsys.readouterr().err
    )


def test_attributes_in_a_csv_train_an_aedlsgan_that_edits_by_their_names(
    attributes: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = lightning_gans.load(attributes)
    assert isinstance(model, AEDLSGAN)
    assert model.attribute_names == ["hat", "Big Smile"]
    image = place / "loose" / "07.png"
    words = ["edit", f"ckpt={attributes}", f"image={image}", "attribute=big smile", "steps=3"]
    main([*words, "out=strip"])
    assert "Big Smile of strength" in capsys.readouterr().out
    assert Path("strip/07.png").is_file()
    with pytest.raises(SystemExit):
        main([*words[:-2], "attribute=simle"])
    assert "one of hat, Big Smile, got simle" in capsys.readouterr().err


def test_info_lists_the_names_without_loading_anything(
    classes: Path, attributes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch, "load")
    lines = info(str(classes)).text.splitlines()
    assert [line.split(None, 1) for line in lines if line.startswith("classes")] == [
        ["classes", ", ".join(CLASSES)]
    ]
    text = info(str(attributes), "json").text
    assert json.loads(text)["class_names"] == [["not hat", "hat"], ["not Big Smile", "Big Smile"]]


def test_an_export_knows_the_names(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["export", f"ckpt={classes}", "out=handed", "formats=safetensors,torch"])
    assert f"classes: {', '.join(CLASSES)}" in Path("handed/README.md").read_text("utf-8")
    assert lightning_gans.from_pretrained("handed").class_names == (CLASSES,)
    lines = [line.split(None, 1) for line in info("handed").text.splitlines()]
    assert ["classes", ", ".join(CLASSES)] in lines
    program = runpy.run_path("handed/example_torch.py")
    by_name, by_number = (program["generate"](2, c) for c in ("Étoile rouge", 2))
    assert (by_name == by_number).all()
    assert (by_name != program["generate"](2, "disc")).any()
    assert (program["generate"](1, "3") == program["generate"](1, 0)).all()


def test_a_resumed_run_keeps_its_names_and_tells_of_others(
    place: Path, classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "cagan" / "folder" / classes.name
    shutil.copytree(classes, run)
    shutil.copytree(place / "sorted", tmp_path / "sorted")
    main(["train", f"ckpt={run}", "trainer.max_steps=4"])
    assert lightning_gans.load(run).class_names == (CLASSES,)
    (tmp_path / "sorted" / "disc").rename(tmp_path / "sorted" / "disk")
    with pytest.warns(UserWarning, match=r"called otherwise .* \('disc' is now 'disk'\)"):
        main(["train", f"ckpt={run}", "trainer.max_steps=5"])
    assert lightning_gans.load(run).class_names == (("3", "disk", "Étoile rouge"),)


def test_a_checkpoint_without_names_or_with_damaged_ones_loads(
    classes: Path, tmp_path: Path
) -> None:
    (file,) = (classes / "checkpoints").glob("last*")
    content = torch.load(file, weights_only=True)
    assert content["class_names"] == [list(CLASSES)]
    for names in (None, 3, [[1, 2, 3]], ["abc"], "abc"):
        changed = {**content, "class_names": names}
        if names is None:
            del changed["class_names"]
        torch.save(changed, tmp_path / "old.ckpt")
        assert lightning_gans.load(tmp_path / "old.ckpt").class_names is None
        assert class_names_in(tmp_path / "old.ckpt") is None
    # texts that a pickle refers to by an earlier place
    twice = [["a", "b"], ["a", "b", "state_dict"]]
    torch.save({**content, "class_names": twice}, tmp_path / "twice.ckpt")
    assert class_names_in(tmp_path / "twice.ckpt") == (("a", "b"), ("a", "b", "state_dict"))


def test_a_model_that_takes_no_labels_takes_no_names(place: Path) -> None:
    run = trained(place, "cgpgan", "sorted", "data.validation=10", "model.num_categories=3")
    assert lightning_gans.load(run).class_names is None
