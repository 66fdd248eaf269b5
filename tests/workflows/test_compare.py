"""``compare``: runs beside one another, from what lies in their folders."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_gans.cli import main
from lightning_gans.errors import UsageError, UserError
from lightning_gans.workflows.compare import compare
from tests.support.saved_models import refusal

FIDS = ("2000", "60", "80")


def run_of(
    folder: Path,
    seed: int = 0,
    fids: tuple[str, ...] = FIDS,
    psnr: str = "20",
    model: str = "lightning_gans.models.DLSGAN",
    samples: int = 9,
    colour: str = "red",
    **arguments: Any,
) -> Path:
    """What a run leaves that was evaluated after 0, 10, 20, ... iterations."""
    (folder / "images").mkdir(parents=True)
    lines = [f"{samples},0,{fid},{psnr},{10 * i}" for i, fid in enumerate(fids)]
    (folder / "metrics.csv").write_text(
        "\n".join(["evaluation/samples,epoch,fid/digits,psnr/real,step", *lines, ""])
    )
    config = {
        "seed_everything": seed,
        "trainer": {"max_steps": 10 * (len(fids) - 1), "default_root_dir": str(folder)},
        "model": {"class_path": model, "init_args": {"latent_dim": 32, **arguments}},
        "data": {"class_path": "lightning_gans.data.MNIST5k", "init_args": {"batch_size": 4}},
        "threads": seed + 1,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "run.json").write_text("{}")
    for step in (0, 20):
        Image.new("RGB", (64, 32), colour).save(folder / "images" / f"samples-step={step}.png")
    return folder


def test_two_runs_are_compared_by_what_differs_and_what_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of(tmp_path / "all" / "one", r1=0.5, fids=("2000", "50", "80"))
    run_of(tmp_path / "all" / "two", r1=0.25, fids=("1000", "60", "70"), colour="blue")
    main(["compare", "all/one", "all/two", "out=both"])
    printed = capsys.readouterr().out
    written = Path("both/compare.md").read_text(encoding="utf-8")
    for text in (printed, written):
        for line in (
            "| setting | one | two |",
            "| model.r1 | 0.5 | 0.25 |",
            "| fid/digits ↓ | 80 (step 20) | **70** (step 20) |",
            "| fid/digits ↓ | **50** (step 10) | 60 (step 10) |",
            # equal values have no winner
            "| psnr/real ↑ | 20 (step 20) | 20 (step 20) |",
        ):
            assert f"{line}\n" in text, line
        assert "latent_dim" not in text
        assert "threads" not in text.replace("| threads | 1 | 1 |", "")
    content = json.loads(Path("both/compare.json").read_text(encoding="utf-8"))
    assert content["differences"] == {"model.r1": [0.5, 0.25]}
    fid = content["measures"]["fid/digits"]
    assert (fid["best_last"], fid["best_best"], fid["better"]) == ("two", "one", "↓")
    assert fid["best"]["one"]["values"] == [50]
    assert "evaluation/samples" not in content["measures"]
    for name in written.split("](")[1:]:
        assert Path("both", name.partition(")")[0]).is_file()
    assert written.count("](curves/") == 2


def test_the_newest_pictures_are_side_by_side(tmp_path: Path) -> None:
    for index, colour in enumerate(("red", "blue", "green", "yellow")):
        run_of(tmp_path / f"run{index}", r1=float(index), colour=colour)
        Image.new("RGB", (64, 32), "black").save(tmp_path / f"run{index}/images/samples-step=0.png")
    Image.new("RGB", (64, 32), "red").save(tmp_path / "run0/images/only-step=20.png")
    compare([f"run{index}" for index in range(4)], out="made")
    sheet = np.asarray(Image.open("made/samples.png")).astype(int)
    counts = {
        name: int((np.abs(sheet - np.array(colour)).sum(2) == 0).sum())
        for name, colour in {
            "red": (255, 0, 0),
            "blue": (0, 0, 255),
            "green": (0, 128, 0),
            "yellow": (255, 255, 0),
        }.items()
    }
    assert set(counts.values()) == {64 * 32}, "each whole, and none of an earlier iteration"
    row, column = np.argwhere((sheet == (0, 0, 255)).all(2))[0]
    first = np.argwhere((sheet == (255, 0, 0)).all(2))[0]
    assert row == first[0]
    assert column >= first[1] + 64
    assert not Path("made/only.png").exists(), "one run has it"


def test_runs_that_differ_only_by_their_seeds_are_one_group(tmp_path: Path) -> None:
    fids = ["70", "80", "105"]
    for seed, fid in enumerate(fids):
        run_of(tmp_path / f"a{seed}", seed, ("2000", "60", fid))
    run_of(tmp_path / "b", 0, ("2000", "60", "90"), model="lightning_gans.models.GAN")
    # the same seed as a0, and the same settings: not another seed
    run_of(tmp_path / "c", 0, ("2000", "60", "99"))
    found = compare(["a0", "b", "a1", "c", "a2"], out="made").content
    assert found is not None
    assert [run.group for run in found.runs] == [
        "A (3 seeds)",
        "B",
        "A (3 seeds)",
        "C",
        "A (3 seeds)",
    ]
    last = found.measures["fid/digits"].last["A (3 seeds)"]
    assert last.values == (70, 80, 105)
    assert last.mean == pytest.approx(85)
    assert last.sd == pytest.approx(statistics.stdev([70, 80, 105]))
    assert found.measures["fid/digits"].best_last == "A (3 seeds)"
    text = Path("made/compare.md").read_text(encoding="utf-8")
    assert "| fid/digits ↓ | **85 ± 18** | 90 (step 20) | 99 (step 20) |\n" in text
    assert "| seed_everything | 0, 1, 2 | 0 | 0 |\n" in text
    assert "| model | DLSGAN | GAN | DLSGAN |\n" in text


def test_a_group_with_a_value_that_is_not_finite_wins_nothing(tmp_path: Path) -> None:
    run_of(tmp_path / "a", r1=0.5, fids=("nan", "nan", "nan"), psnr="nan")
    run_of(tmp_path / "b", r1=0.25, fids=("90", "80", "70"), psnr="12")
    run_of(tmp_path / "c", r1=0.125, fids=("90", "60", "inf"), psnr="11")
    found = compare(["a", "b", "c"], out="made").content
    assert found is not None
    fid, psnr = found.measures["fid/digits"], found.measures["psnr/real"]
    assert (fid.best_last, fid.best_best) == ("b", "c")
    assert (psnr.best_last, psnr.best_best) == ("b", "b")
    json.loads(Path("made/compare.json").read_text(), parse_constant=pytest.fail)


def test_the_time_of_each_run_is_that_from_its_start_to_its_last_file(tmp_path: Path) -> None:
    for name, seconds in (("a", 90), ("b", 7200)):
        run = run_of(tmp_path / name)
        began = 1_700_000_000.0
        record = {"started": began, "name": name, "host": "vm", "pid": 1, "training": {}}
        (run / "run.json").write_text(json.dumps(record))
        os.utime(run / "run.json", (began, began))  # written at the start, which no copy is
        for path in (run / "metrics.csv", *(run / "images").iterdir()):
            os.utime(path, (began + seconds, began + seconds))
    compare(["a", "b"], out="made")
    content = json.loads(Path("made/compare.json").read_text())
    assert [run["seconds"] for run in content["runs"]] == [90, 7200]


def test_runs_of_unknown_settings_are_not_one_group(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (run_of(tmp_path / name) / "config.yaml").unlink()
    found = compare(["a", "b"], out="made").content
    assert found is not None
    assert [run.group for run in found.runs] == ["a", "b"]
    assert any("config.yaml does not exist" in note for note in found.notes)


@pytest.mark.parametrize(
    ("fids", "is_log"),
    [(("2000", "60", "80"), True), (("90", "60", "80"), False), (("2000", "-1", "80"), False)],
)
def test_distances_that_fall_far_have_a_logarithmic_axis(
    tmp_path: Path, fids: tuple[str, ...], is_log: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, bool] = {}

    def record(title: str, groups: object, path: Path, log: bool) -> None:
        seen[title] = log
        path.write_bytes(b"")

    monkeypatch.setattr("lightning_gans.workflows.compare.compared_curves", record)
    run_of(tmp_path / "a", fids=fids)
    run_of(tmp_path / "b", r1=0.5)
    (tmp_path / "b" / "metrics.csv").write_text("evaluation/samples,fid/digits,step\n9,70,0\n")
    compare(["a", "b"], out="made")
    assert seen == {"fid/digits ↓": is_log, "psnr/real ↑": False}


def test_values_that_cannot_be_compared_are_noted(tmp_path: Path) -> None:
    run_of(tmp_path / "a", fids=("nan", "60", "inf"))
    run_of(tmp_path / "b", samples=1000)
    config = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    config["data"]["class_path"] = "lightning_gans.data.MNIST"
    config["trainer"]["max_steps"] = 500
    (tmp_path / "b" / "config.yaml").write_text(yaml.safe_dump(config))
    found = compare(["a", "b"], out="made").content
    assert found is not None
    text = "\n".join(found.notes)
    assert "number of images, which differs: a 9, b 1,000" in text
    assert "different data: MNIST, MNIST5k" in text
    assert "b is not complete: 20 of 500 iterations" in text
    # what is not finite does not win, and is null for programs
    assert found.measures["fid/digits"].best_last == "b"
    content = json.loads(Path("made/compare.json").read_text(), parse_constant=pytest.fail)
    assert content["measures"]["fid/digits"]["last"]["a"]["values"] == [None]


def test_a_picture_that_cannot_be_read_is_named_and_the_others_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        run_of(tmp_path / f"r{index}", r1=float(index))
    (tmp_path / "r1/images/samples-step=20.png").write_bytes(b"no image")
    assert compare(["r0", "r1", "r2"], out="made").exit_status == 0
    assert "r1/images/samples-step=20.png cannot be read" in capsys.readouterr().err
    assert "cannot be read" in Path("made/compare.md").read_text()
    sheet = np.asarray(Image.open("made/samples.png"))
    assert int((sheet == (255, 0, 0)).all(2).sum()) == 2 * 64 * 32


def test_hostile_names_and_values_change_no_table(tmp_path: Path) -> None:
    run_of(tmp_path / "a|b\x1b[1m$x^$")
    other = run_of(tmp_path / "_b", loss="x|y\n| fake | 1 |")
    log = (other / "metrics.csv").read_text()
    (other / "metrics.csv").write_text(log.replace("fid/digits", '"fid/../../$\\x|$"'))
    compare(["a|b\x1b[1m$x^$", "_b"], out="made")
    text = Path("made/compare.md").read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert "\n| fake" not in text
    assert all(path.is_relative_to(tmp_path / "made") for path in (tmp_path / "made").rglob("*"))
    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| psnr")]
    assert {line.count("|") for line in rows} == {4}


def test_runs_are_named_as_in_other_commands(tmp_path: Path) -> None:
    for name in ("old", "new"):
        run = run_of(tmp_path / "runs" / "dlsgan" / "digits" / name)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last-step=20.ckpt").touch()
    found = compare(
        [
            "runs/dlsgan/digits/new/checkpoints/last-step=20.ckpt",
            "runs/dlsgan/digits/old/checkpoints",
        ],
        out="made",
    ).content
    assert found is not None
    assert [run.label for run in found.runs] == ["new", "old"]
    both = [f"ckpt=runs/dlsgan/digits/{name}" for name in ("new", "old")]
    main(["compare", *both, "out=called_ckpt"])
    assert (tmp_path / "called_ckpt" / "compare.md").is_file()


def test_a_wrong_command_line_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        run_of(tmp_path / name)
    young = run_of(tmp_path / "young")
    (young / "metrics.csv").write_text("generator/loss,step\n1,5\n")
    (tmp_path / "photos").mkdir()
    before = (tmp_path / "a" / "config.yaml").read_bytes()
    for words, status, expected in (
        (["a"], 2, "expected at least two runs, got 1"),
        (["a", "a"], 2, "is named twice"),
        (["a", "../" + tmp_path.name + "/a"], 2, "is named twice"),
        (["a", "young"], 1, "nothing was measured in young yet"),
        (["a", "photos"], 1, "photos is not a run's folder"),
        (["a", "nowhere"], 1, "nowhere does not exist"),
        (["a", "b", "out=a"], 2, "out=a is the folder of a run"),
    ):
        found, said = refusal(["compare", *words], capsys)
        assert (found, expected in said) == (status, True), said
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    assert not (tmp_path / "runs").exists()
    compare(["a", "b"], out="made")
    with pytest.raises(UsageError, match=r"already has a compare\.json"):
        compare(["a", "b"], out="made")
    (tmp_path / "b" / "metrics.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"metrics\.csv"):
        compare(["a", "b"])
