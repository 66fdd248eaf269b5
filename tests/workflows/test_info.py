"""``info``: one screen on a run or an exported folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import lightning_gans
from lightning_gans.cli import main
from lightning_gans.errors import UserError
from lightning_gans.workflows.info import info
from tests.support.command_line import only, small
from tests.support.pictures import draw


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three iterations."""
    folder = tmp_path_factory.mktemp("info")
    draw(folder / "pictures", 60, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(small(folder / "pictures"))
    return only(folder / "runs" / "dlsgan" / "folder")


@pytest.fixture(autouse=True)
def unpickle_nothing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Fail if a test loads a checkpoint, unless it says so."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a checkpoint was loaded")

    if "run" in request.fixturenames:
        request.getfixturevalue("run")  # which may load one itself
    monkeypatch.setattr(torch, "load", refuse)


def test_a_finished_run_on_one_screen(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", str(run)])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    for words in (
        "DLSGAN",
        "latent_dim=6",
        "Folder",
        "3 of 3",
        "psnr/real",
        "reconstruct",
        "ckpt=",
    ):
        assert words in text


def test_weights_are_counted_as_the_model_has_them(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = info(str(run)).values
    assert found is not None
    monkeypatch.undo()
    expected: dict[str, int] = {}
    for name, value in lightning_gans.load(run).state_dict().items():
        network = name.partition(".")[0]
        expected[network] = expected.get(network, 0) + value.numel()
    assert found["networks"] == expected
    assert found["capabilities"] == list(lightning_gans.load(run).capabilities)


def test_programs_read_the_description_of_a_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["info", str(run), "format=json"])
    found = json.loads(capsys.readouterr().out)
    assert found["iterations"] == 3
    assert found["metrics"]["psnr/real"]["step"] == 3
    best = found["metrics"]["psnr/real"]
    assert best["best"] >= best["last"]
    assert found["disk"]["checkpoints"] > 1000
    assert found["problems"] == []


def test_the_best_measurement_is_the_lowest_where_lower_is_better(
    run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    text = "step,evaluation/samples,fid/digits,psnr/real\n1,9,50,10\n2,9,40,12\n3,9,nan,11\n"
    (copy / "metrics.csv").write_text(text)
    found = info(str(copy), format="json").values
    assert found is not None
    assert found["metrics"]["fid/digits"]["best"] == 40
    assert found["metrics"]["psnr/real"]["best"] == 12
    assert found["metrics"]["psnr/real"]["last"] == 11
    # NaN is no JSON
    json.loads(info(str(copy), format="json").text, parse_constant=pytest.fail)


@pytest.mark.parametrize("harm", ["truncated", "config", "metrics", "young", "hostile"])
def test_damaged_and_young_runs_are_described_as_far_as_they_go(
    run: Path, tmp_path: Path, harm: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    last = next((copy / "checkpoints").glob("last-*"))
    if harm == "truncated":
        last.write_bytes(last.read_bytes()[:1000])
    elif harm == "config":
        (copy / "config.yaml").write_text("model: [")
    elif harm == "metrics":
        (copy / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    elif harm == "young":
        for name in ("checkpoints", "images"):
            shutil.rmtree(copy / name)
        (copy / "metrics.csv").unlink()
    else:
        (copy / "config.yaml").write_text("model:\n  class_path: antigravity.Model\n")
    found = info(str(copy))
    assert found.values is not None
    assert found.exit_status == 0
    if harm == "truncated":
        assert "(damaged)" in found.text
        assert "train ckpt" not in found.text
    elif harm == "young":
        assert found.values["iterations"] == 0
        assert "none yet" in found.text
    elif harm == "hostile":
        assert found.values["capabilities"] is None
    else:
        assert found.values["problems"]


def offered(folder: Path) -> list[str]:
    """The commands that are offered, without what precedes them."""
    lines = info(str(folder)).text.splitlines()
    return [line.removeprefix("next").strip() for line in lines if line.startswith("next")]


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run of three iterations, of which that after two is kept as well."""
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    shutil.copy(
        folder / "checkpoints" / "last-step=3.ckpt", folder / "checkpoints" / "last-step=2.ckpt"
    )
    return folder


def cut(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])


def test_a_finished_run_is_not_to_be_trained_further(copy: Path) -> None:
    commands = offered(copy)
    assert not any("train" in command for command in commands)
    assert f"lightning-gans export ckpt={copy} out=FOLDER" in commands
    config = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(config.replace("max_steps: 3", "max_steps: 4"))
    assert offered(copy)[0] == f"lightning-gans train ckpt={copy}"


def test_a_finished_run_whose_last_checkpoint_is_damaged_resumes_from_the_one_before(
    copy: Path,
) -> None:
    cut(copy / "checkpoints" / "last-step=3.ckpt")
    found = info(str(copy)).values
    assert found is not None
    # its log has three
    assert found["iterations"] == 3
    assert offered(copy)[0] == f"lightning-gans train ckpt={copy}"


def test_iterations_that_only_a_damaged_checkpoint_names_do_not_count(copy: Path) -> None:
    damaged = copy / "checkpoints" / "last-step=900.ckpt"
    damaged.write_bytes(b"no checkpoint")
    found = info(str(copy)).values
    assert found is not None
    assert found["iterations"] == 3
    assert found["checkpoints"]["last-step=900.ckpt"] is False
    (copy / "metrics.csv").unlink()
    cut(copy / "checkpoints" / "last-step=3.ckpt")
    # the best one of this run is after three as well
    for best in (copy / "checkpoints").glob("best-*"):
        cut(best)
    found = info(str(copy)).values
    assert found is not None
    assert found["iterations"] == 2


def test_a_run_of_which_only_the_best_checkpoint_is_intact_offers_that_one(copy: Path) -> None:
    best = copy / "checkpoints" / "best-step=1.ckpt"
    shutil.copy(copy / "checkpoints" / "last-step=2.ckpt", best)
    for path in (copy / "checkpoints").glob("*.ckpt"):
        if path != best:
            cut(path)
    commands = offered(copy)
    assert not any("train" in command for command in commands)
    assert f"lightning-gans export ckpt={best} out=FOLDER" in commands
    assert f'python: lightning_gans.load("{best}")' in commands


def test_commands_can_be_typed_if_the_folder_has_a_space_in_its_name(
    copy: Path, tmp_path: Path
) -> None:
    spaced = copy.rename(tmp_path / "my runs")
    assert f"lightning-gans export 'ckpt={spaced}' out=FOLDER" in offered(spaced)


def test_what_links_lead_to_takes_no_space_in_the_run(copy: Path, tmp_path: Path) -> None:
    def disk() -> dict[str, int]:
        values = info(str(copy)).values
        assert values is not None
        found: dict[str, int] = values["disk"]
        return found

    before = disk()
    assert before["checkpoints"] == sum(
        path.stat().st_size for path in (copy / "checkpoints").iterdir()
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "large").write_bytes(bytes(1_000_000))
    (copy / "file").symlink_to(elsewhere / "large")
    (copy / "folder").symlink_to(elsewhere)
    (copy / "itself").symlink_to(copy)
    (copy / "latest.ckpt").symlink_to(copy / "checkpoints" / "last-step=3.ckpt")
    (copy / "dead").symlink_to(elsewhere / "nowhere")
    assert disk() == before


def test_an_exported_folder_on_one_screen(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # export loads
    expected = info(str(run)).values
    out = tmp_path / "handed"
    main(["export", f"ckpt={run}", f"out={out}", "formats=safetensors"])
    found = info(str(out)).values
    assert found is not None
    assert expected is not None
    assert found["networks"] == expected["networks"]
    assert found["metrics"]["psnr/real"]["last"] == expected["metrics"]["psnr/real"]["last"]
    (out / "model.safetensors").write_bytes(b"nothing")
    assert "cannot be read" in info(str(out)).text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run's folder nor an exported one"):
        info(str(tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        info(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"lst does not exist \(did you mean 'last'\?\)"):
        info("lst")


def test_a_folder_with_the_results_of_a_command_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "config.yaml").write_text(f"ckpt: {run}\nimages: photos\nn: 3\n")
    with pytest.raises(SystemExit) as end:
        main(["info", "found"])
    assert end.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: found has the results of a command, and is not a run's")
