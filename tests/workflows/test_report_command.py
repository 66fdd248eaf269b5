"""``report``: a run's report again, from what lies in its folder."""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from lightning_gans.cli import main
from lightning_gans.workflows.report import report
from tests.support.command_line import only, small
from tests.support.pictures import draw
from tests.support.saved_models import refusal


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three iterations."""
    folder = tmp_path_factory.mktemp("report")
    draw(folder / "pictures", 60, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main([*small(folder / "pictures"), "optimizer.lr=0.25"])
    return only(folder / "runs" / "dlsgan" / "folder")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, with the times of its files."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.mark.figures
def test_a_report_that_was_deleted_is_written_as_the_run_wrote_it(
    run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("report.md", "report.html", "curves.png"):
        (copy / name).unlink()
    main(["report", str(copy)])
    printed = capsys.readouterr().out
    assert f"report: {copy / 'report.md'}, and report.html" in printed
    assert "| psnr/real ↑ |" in printed
    # the run's own says where it was
    expected = (run / "report.md").read_text().splitlines()
    found = (copy / "report.md").read_text().splitlines()
    assert found[0] == f"# {copy}"
    assert [line for line in found[1:] if str(copy) not in line] == [
        line for line in expected[1:] if run.name not in line
    ]
    assert Image.open(copy / "curves.png").size == Image.open(run / "curves.png").size


@pytest.mark.parametrize("command", ["info", "report"])
@pytest.mark.parametrize("option", ["ckpt", "--ckpt_path", "run"])
def test_commands_that_read_no_weights_take_ckpt_as_well(
    command: str, option: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([command, f"{option}={run}"])
    assert str(run) in capsys.readouterr().out


@pytest.mark.parametrize("command", ["info", "report"])
def test_the_newest_run_may_be_typed_with_and_without_its_option(
    command: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parents[3])
    inside = run.relative_to(run.parents[3])
    for words in (["last"], ["run=last"], ["ckpt=last"], ["--run", "last"]):
        main([command, *words])
        assert str(inside) in capsys.readouterr().out, words


def test_a_checkpoint_may_be_typed_without_its_option_though_its_path_has_an_equals_sign(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    checkpoint = run / "checkpoints" / "last-step=3.ckpt"
    main(["info", str(checkpoint)])
    assert str(run) in capsys.readouterr().out
    status, said = refusal(["info", str(checkpoint), str(run)], capsys)
    assert (status, f"run is {checkpoint} already" in said) == (2, True)
    monkeypatch.chdir(run / "checkpoints")
    main(["info", checkpoint.name, "format=text"])
    assert "3 of 3" in capsys.readouterr().out
    # a file that is called like an option and its value does not hide the option
    monkeypatch.chdir(tmp_path)
    Path("n=2").touch()
    main(["generate", str(checkpoint), "n=2", "format=files", "out=made"])
    assert len(list(Path("made").rglob("*.png"))) == 2
    status, said = refusal(["info", "runs/x/checkpoints/last-step=9.ckpt"], capsys)
    assert (status, "runs/x/checkpoints/last-step=9.ckpt does not exist" in said) == (1, True)


def test_the_report_says_what_was_set_and_how_to_continue_and_to_cite(run: Path) -> None:
    text = (run / "report.md").read_text()
    for words in (
        "- model: DLSGAN\n",
        "- iterations: 3 of 3\n",
        "- images a second: ",
        "| optimizer.lr | 0.25 | ",
        "| trainer.max_steps | 3 | 20000 |",
        "![samples-step=3](images/samples-step=3.png)",
        "trainer.max_steps=6\n",
        "doctoral thesis, Concordia University",
    ):
        assert words in text, words
    assert "optimizer.betas" not in text, "it has its default"
    for name in text.split("](")[1:]:
        assert (run / name.partition(")")[0]).is_file()


def test_the_page_of_a_run_says_when_how_fast_and_with_what_it_was_trained(run: Path) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", (run / "report.html").read_text()).split())
    for words in (
        "DLSGAN on Folder: 3 of 3 iterations in ",
        "DLSGAN: GAN whose latent scale s follows what its encoder can recover",
        f"torch {torch.__version__.partition('+')[0]} ",
        f"Python {platform.python_version()} ",
        "images a second ",
        "What the latent carries",
    ):
        assert words in text, words


def test_a_report_compares_the_runs_that_are_named(
    run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(copy, copy.parent / "other"))
    main(["report", str(copy), f"compared={other}", f"compared={run}"])
    text = (copy / "report.html").read_text()
    assert text.count('<span class="swatch">') == 3
    assert "Compared runs" in text
    assert "Compared runs" not in (other / "report.html").read_text()
    status, said = refusal(["report", str(copy), f"compared={copy}/checkpoints"], capsys)
    assert status == 2
    assert "is named twice" in said
    status, said = refusal(["report", str(copy), "compared=nowhere"], capsys)
    assert status == 1
    assert "compared=nowhere" in said


def test_a_killed_run_has_a_report_that_says_how_to_resume_it(copy: Path) -> None:
    # what a kill during the third iteration leaves
    for name in ("report.md", "curves.png"):
        (copy / name).unlink()
    (last,) = (copy / "checkpoints").glob("last-step=3.ckpt")
    last.rename(last.with_name("last-step=2.ckpt"))
    for path in (copy / "images").glob("*-step=3.png"):
        path.unlink()
    lines = (copy / "metrics.csv").read_text().splitlines(keepends=True)
    column = lines[0].rstrip("\n").split(",").index("step")
    kept = [line for line in lines if line.strip().split(",")[column] != "3"]
    (copy / "metrics.csv").write_text("".join(kept) + "0.5,0")
    found = report(str(copy / "checkpoints" / "last-step=2.ckpt"))
    text = (copy / "report.md").read_text()
    assert "- iterations: 2 of 3, not complete" in text
    assert f"lightning-gans train ckpt={copy}\n" in text
    assert "step 3" not in text
    assert found.content is not None
    assert not found.content.progress.is_complete
    last = copy / "checkpoints" / "last-step=2.ckpt"
    last.write_bytes(last.read_bytes()[:999])
    with pytest.warns(UserWarning, match="is damaged"):
        assert report(str(copy)).content.resume is None  # type: ignore[union-attr]  # it has one


@pytest.mark.parametrize("harm", ["config", "no config", "young"])
def test_a_run_that_lacks_files_has_a_report_that_says_so(copy: Path, harm: str) -> None:
    if harm == "config":
        (copy / "config.yaml").write_text("model: [")
    elif harm == "no config":
        (copy / "config.yaml").unlink()
    else:
        for name in ("checkpoints", "images"):
            shutil.rmtree(copy / name)
        (copy / "metrics.csv").unlink()
    assert report(str(copy)).exit_status == 0
    text = (copy / "report.md").read_text()
    if harm == "young":
        assert "Nothing was measured." in text
    else:
        assert "problem: " in text
        assert "config.yaml" in text
        assert "- model: unknown" in text
        assert "| psnr/real ↑ |" in text


def test_a_folder_that_is_no_run_gets_one_line_and_no_report(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    draw(tmp_path / "photos", 3, 16)
    (tmp_path / "photos" / "images").mkdir()
    main(["generate", f"ckpt={run}", "n=2", "out=made"])
    exported = tmp_path / "exported"
    exported.mkdir()
    for name in ("config.json", "model.safetensors"):
        (exported / name).write_text("{}")
    for words, expected in (
        ("photos", "is not a run's folder"),
        ("made", "is not a run's folder"),
        ("exported", "is an exported model"),
        ("nowhere", "does not exist"),
    ):
        status, said = refusal(["report", words], capsys)
        assert status == 1
        assert expected in said
        assert not list(tmp_path.glob("*/report.md"))
