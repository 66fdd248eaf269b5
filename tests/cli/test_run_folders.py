"""The folders of runs from the command line: whose they are, and what is resumed from them."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

import lightning_gans
from lightning_gans.cli import CONFIGS, main
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import Command, hold_run, parse_command
from lightning_gans.cli.workflow import find_newest
from lightning_gans.errors import UserError
from lightning_gans.runs.claim import FolderInUse, hold, read_record, release
from lightning_gans.runs.damaged import salvage_rows
from tests.support.command_line import MLP, only, rows
from tests.support.processes import several
from tests.support.run_folders import another_process

GAN = ["model=gan", *MLP, "trainer.limit_val_batches=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one run of three iterations."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        main([*GAN, "trainer.max_steps=3"])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that run in the working folder of a test."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    return only(Path("runs/gan/gaussians"))


class Refuses(Callback):
    """Fails before the first iteration, when the config is written already."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise UserError("no")


def refused(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main([*argv])
    assert isinstance(end.value.code, int)
    return end.value.code


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that says what is wrong."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    return line


def steps(run: Path) -> list[int]:
    """The iterations whose losses are in the log."""
    return [int(row["step"]) for row in rows(run) if row["generator/adversarial"]]


def parsed(*argv: str) -> Command:
    return parse_command("train", argv, Groups([CONFIGS]))


def test_last_is_the_newest_run_also_where_its_data_or_model_are_not_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"--ckpt_path={run}/checkpoints/last-step=3.ckpt"
    for words in ([], ["model=gan"], ["data=gaussians"], ["model=gan", "data=gaussians"]):
        command = parsed("ckpt_path=last", *words)
        assert expected in command.options
        assert command.run_config == run / "config.yaml"
        assert command.names == {"model": "gan", "data": "gaussians"}
        assert f"ckpt_path=last: {run}/checkpoints/last-step=3.ckpt" in capsys.readouterr().err
    assert refused("model=dlsgan", "ckpt_path=last") == 2
    assert "no run with a checkpoint in runs/dlsgan/*" in error(capsys)


def test_a_run_that_is_repeated_from_its_config_has_its_name(run: Path) -> None:
    command = parsed(f"--config={run}/config.yaml")
    assert command.names == {"model": "gan", "data": "gaussians"}
    assert not any(option.startswith("--ckpt_path") for option in command.options)


def test_ckpt_last_is_the_newest_run_for_a_command_that_measures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while that run still trains, which it does not touch."""
    with another_process(run):
        main(["invert", "ckpt=last", "data=gaussians", "n=2", "steps=2", "restarts=1", "out=found"])
    assert f"ckpt=last: {run}/checkpoints/last-step=3.ckpt" in capsys.readouterr().err
    settings = yaml.safe_load(Path("found/config.yaml").read_text())
    assert settings["ckpt"] == f"{run}/checkpoints/last-step=3.ckpt"


def test_last_is_the_newest_run_wherever_a_command_takes_a_checkpoint(run: Path) -> None:
    path = f"{run}/checkpoints/last-step=3.ckpt"
    for words, expected in (
        (["last"], [f"ckpt={path}"]),
        (["n=2", "last"], ["n=2", f"ckpt={path}"]),
        (["--ckpt", "last", "n=2"], ["--ckpt", path, "n=2"]),
        (["ckpt_path=last"], [f"ckpt_path={path}"]),
        (["ckpt=a=last"], ["ckpt=a=last"]),
        (["--out", "last"], ["--out", "last"]),
        (["out=last"], ["out=last"]),
    ):
        assert find_newest("generate", words) == expected
    # these look it up themselves
    assert find_newest("info", ["last"]) == ["last"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("generate ckpt=last model=GAN", "model=GAN: this command looks"),
        ("generate model=GAN data=DATA last", "model=GAN data=DATA: this command looks"),
        ("edit ckpt=last data=DATA image=x.png", "data=DATA: this command looks"),
        # data= are the images there, so that model= alone is too much
        ("invert ckpt=last model=GAN data=DATA", "model=GAN: this command looks"),
        ("report last model=GAN", "model=GAN: this command looks"),
    ],
)
def test_a_command_that_was_to_narrow_last_says_which_run_to_name(
    words: str, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = run.parts[-3:-1]
    words, said = (t.replace("GAN", model).replace("DATA", data) for t in (words, said))
    assert refused(*words.split()) == 2
    told = capsys.readouterr().err
    option = "run" if "report" in words else "ckpt"
    assert said in told
    assert f"name the run's folder instead: {option}={run}\n" in told


def test_config_files_of_trainings_are_refused_by_commands_that_train_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sections in (
        ("generate ckpt=last experiment=demo", "trainer,"),
        ("invert ckpt=last data=gaussians experiment=cagan_gaussians", "ema, model, trainer,"),
        ("generate ckpt=last trainer=default", "trainer,"),
    ):
        assert refused(*words.split()) == 2
        told = capsys.readouterr().err
        assert f" sets {sections}" in told
        assert "this command does not have; leave it out" in told
    assert refused("generate", "ckpt=last", "model=vaegan") == 2
    told = capsys.readouterr().err
    assert "name the run's folder instead: ckpt=FOLDER" in told, "there is no run of that model"


def test_a_run_that_still_trains_is_not_resumed_by_another_process(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with another_process(run) as pid:
        before[run / "run.json"] = (run / "run.json").read_bytes()
        before[run / ".run.lock"] = b""
        assert refused("train", "ckpt_path=last", "trainer.max_steps=5") == 1
        line = error(capsys)
        main(["validate", "ckpt_path=last"])
    assert f"{run} is in use by process {pid} on {os.uname().nodename}, since 20" in line
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    main(["train", "ckpt_path=last", "trainer.max_steps=5"])
    assert steps(run) == [1, 2, 3, 4, 5]


def test_a_run_that_saves_while_it_is_looked_for_is_still_in_use(run: Path) -> None:
    old = run / "checkpoints" / "last-step=3.ckpt"
    newer = Path(shutil.copy(old, old.with_name("last-step=5.ckpt")))
    with another_process(run):
        with pytest.raises(FolderInUse):
            hold_run(old, any_newer=True)
        with pytest.raises(FolderInUse):
            hold_run(newer, any_newer=False)
        # an older checkpoint starts another run, and a debug run writes nothing there
        assert hold_run(old, any_newer=False) == old
        assert f"--ckpt_path={newer}" in parsed("ckpt_path=last", "trainer.fast_dev_run=1").options
    assert hold_run(old, any_newer=True) == newer
    assert not hold(run)  # it is held already
    release(run)


def test_a_debug_run_leaves_nothing_that_could_be_taken_for_work(run: Path) -> None:
    before = sorted(Path().rglob("*"))
    files = {path: path.read_bytes() for path in before if path.is_file()}
    main([*GAN, "trainer.fast_dev_run=true"])
    main([*GAN, "ckpt_path=last", "trainer.fast_dev_run=2"])
    main(["test", "ckpt_path=last", "trainer.fast_dev_run=true"])
    assert sorted(Path().rglob("*")) == before
    assert files == {path: path.read_bytes() for path in before if path.is_file()}


def test_a_run_that_overfits_a_few_images_is_not_continued_unless_it_is_named(run: Path) -> None:
    main([*GAN, "trainer.overfit_batches=2", "trainer.max_steps=2"])
    main([*GAN, "ckpt_path=last", "trainer.overfit_batches=2", "trainer.max_steps=4"])
    debug = sorted(Path("runs/gan/gaussians").glob("*_debug*"))
    assert len(debug) == 2  # the second one continued no debug run, and did not write to the work
    assert steps(run) == [1, 2, 3]
    assert f"--ckpt_path={run}/checkpoints/last-step=3.ckpt" in parsed("ckpt_path=last").options
    main([f"ckpt_path={debug[0]}", "trainer.max_steps=3"])
    assert steps(debug[0]) == [1, 2, 3]
    record = read_record(debug[0])
    assert record is not None
    assert record.training.debug


def test_files_that_somebody_put_into_a_run_disturb_nobody(run: Path) -> None:
    saved = run / "checkpoints" / "last-step=3.ckpt"
    expected = lightning_gans.load(run).state_dict()
    for name in ("last-step=12 (copy).ckpt", "last-step=3.ckpt.bak", "last-step=٣.ckpt"):
        shutil.copy(saved, saved.with_name(name))
    (run / "checkpoints" / "last-step=90.ckpt").mkdir()
    os.mkfifo(run / "checkpoints" / "last-step=91.ckpt")
    os.mkfifo(run / "images" / "samples-step=91.png")
    (run / "checkpoints" / "last-step=92.ckpt").symlink_to("last-step=93.ckpt")
    (run / "checkpoints" / "last-step=4.ckpt").mkdir()
    (run / "checkpoints" / "last-step=4.ckpt" / "inside").touch()
    for folder in (Path("runs"), run, run / "checkpoints", run / "images", run / "wandb"):
        folder.mkdir(exist_ok=True)
        for name in (".DS_Store", "notes (2).txt", "samples-step=9 (copy).png"):
            (folder / name).write_bytes(b"\xff\x00?")
    main(["train", "ckpt_path=last", "trainer.max_steps=4"])
    assert steps(run) == [1, 2, 3, 4]
    main(["validate", f"ckpt={run}"])
    assert (run / "checkpoints" / "last-step=4.ckpt").is_file()
    assert (run / "checkpoints" / "last-step=4.damaged.ckpt" / "inside").is_file()
    found = lightning_gans.load(saved).state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert (run / "checkpoints" / "last-step=12 (copy).ckpt").is_file()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"PK\x03\x04 not a table",
        b"\x00" * 300,
        b"generator/adversarial,step\n" + b"\xff\xfe,1\n",
        b"generator/adversarial,step\n1,1\n\x00\x00\x00\n0.5,2\n",
        b"generator/adversarial,generator/adversarial\n1,1\n",
        b'generator/adversarial,step\n1,1\n"0.5,2\n0.4,3\n',
        b"\xef\xbb\xbfgenerator/adversarial,step\r\n1,1\r\n",
    ],
)
def test_a_damaged_log_is_kept_and_the_run_goes_on(
    damage: bytes, run: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (run / "metrics.csv").write_bytes(damage)
    salvage_rows(run / "metrics.csv")
    kept = run / "metrics.damaged.csv"
    if damage:
        assert kept.read_bytes() == damage
        assert any("it is kept as metrics.damaged.csv" in str(w.message) for w in recwarn)
    else:
        assert not kept.exists()
    found = rows(run) if (run / "metrics.csv").is_file() else []
    whole = {b"\n1,1\n\x00": [1, 2], b'\n1,1\n"': [1, 3], b"\xbf": [1]}
    expected = next((s for mark, s in whole.items() if mark in damage), [])
    assert [int(row["step"]) for row in found] == expected


def test_a_log_that_a_killed_run_left_is_not_damaged(run: Path) -> None:
    file = run / "metrics.csv"
    half = file.read_bytes() + b"0.123,0"
    file.write_bytes(half)
    salvage_rows(file)
    assert file.read_bytes() == half
    assert not (run / "metrics.damaged.csv").exists()


def test_a_run_with_damaged_files_is_resumed_and_all_of_them_are_kept(
    run: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with (run / "metrics.csv").open("ab") as file:
        file.write(b"\x00" * 64 + b"\n")
    for name in ("run.json", "wandb.json"):
        (run / name).write_bytes(b"\x00" * 40)
    shutil.rmtree(run / "images", ignore_errors=True)
    (run / "images").write_text("a file\n")
    for name in ("report.md", "report.html", "curves.png"):
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()
        (run / name / "inside").touch()
    main([f"ckpt_path={run}", "trainer.max_steps=4"])
    assert steps(run) == [1, 2, 3, 4]
    assert (run / "metrics.damaged.csv").read_bytes().endswith(b"\x00" * 64 + b"\n")
    assert (run / "report.damaged.md" / "inside").exists()
    assert (run / "curves.damaged.png" / "inside").exists()
    assert (run / "report.damaged.html" / "inside").exists()
    assert (run / "images.damaged").read_text() == "a file\n"
    assert (run / "images").is_dir()
    record = read_record(run)
    assert record is not None
    assert record.pid == os.getpid()
    said = "\n".join(str(warning.message) for warning in recwarn)
    assert "metrics.csv: damaged; " in said
    assert "report.md: expected a file; it is kept as report.damaged.md" in said


@pytest.mark.parametrize("damage", [b"", b"\x00" * 90, b"model: [1, 2", b"- 1", b"data: {}\n"])
def test_a_damaged_config_is_one_line_and_can_be_replaced_by_settings(
    damage: bytes, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_bytes(damage)
    for words in (["ckpt_path=last"], [f"ckpt_path={run}"]):
        assert refused("train", *words) == 2
        line = error(capsys)
        assert f"{run}/config.yaml" in line
        assert "name the settings that it held (model=NAME data=NAME ...) with ckpt_path=" in line
    if damage == b"model: [1, 2":
        main([*GAN, f"ckpt_path={run}", "trainer.max_steps=4"])
        assert steps(run) == [1, 2, 3, 4]
        assert (run / "config.damaged.yaml").read_bytes() == damage
        assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_steps"] == 4


def test_a_working_folder_with_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = '-x --y=1,a it\'s "mine" #1 ünï·码 [x] {y}: - *z $HOME'
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    chosen = folder / name
    monkeypatch.setenv("LIGHTNING_GANS_RUN", str(chosen))
    main([*GAN, "trainer.max_steps=1", "logger=tensorboard"])
    main([*GAN, "trainer.max_steps=2", f"ckpt_path={chosen}"])
    assert steps(chosen) == [1, 2]
    monkeypatch.delenv("LIGHTNING_GANS_RUN")
    main(["validate", f"ckpt={chosen}"])
    assert isinstance(lightning_gans.load(chosen), lightning_gans.models.GAN)


def test_a_run_that_is_refused_leaves_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(*GAN, "model.generator.nonsense=3") == 2
    assert refused("model=gan", "data=folder", "data.root=/nonexistent") == 1
    capsys.readouterr()
    assert refused(*GAN, "data.train=5", "data.batch_size=8") == 1
    text = capsys.readouterr().err
    assert "5 training examples, which do not fill one batch of 8; choose data.batch_size=5" in text
    assert "model: GAN" not in text, "and an evaluation follows that line"
    assert refused(*GAN, "trainer.callbacks=tests.cli.test_run_folders.Refuses") == 1
    assert not list(Path("runs").glob("*"))


def test_a_run_in_a_chosen_folder_gives_its_results_the_names_of_its_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "runs/reference")
    main([*GAN, "trainer.max_steps=1"])
    monkeypatch.delenv("LIGHTNING_GANS_RUN")
    found = parse_command("predict", ["ckpt=runs/reference"], Groups())
    assert found.names == {"model": "gan", "data": "gaussians"}


def test_another_file_of_a_run_is_no_checkpoint(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused("test", f"ckpt={run}/config.yaml") == 2
    assert error(capsys).endswith(
        f"config.yaml is no checkpoint; give the run's folder, {run}, or a .ckpt file"
    )


@pytest.mark.slow
def test_two_trainings_of_one_job_without_srun_have_folders_of_their_own_and_resume_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "31")
    trainings = [[*GAN, f"seed_everything={seed}", "trainer.max_steps=2"] for seed in (5, 6)]
    for argv in trainings:
        main(argv)
    made = [Path("runs/gan/gaussians/slurm-31"), Path("runs/gan/gaussians/slurm-31_2")]
    assert sorted(Path("runs/gan/gaussians").iterdir()) == made
    with monkeypatch.context() as elsewhere:  # a person resumes one outside of the job
        elsewhere.delenv("SLURM_JOB_ID")
        main([f"ckpt_path={made[1]}", "trainer.max_steps=3"])
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    for argv in reversed(trainings):
        main(argv)
    assert sorted(Path("runs/gan/gaussians").iterdir()) == made
    for run, seed in zip(made, (5, 6), strict=True):
        assert yaml.safe_load((run / "config.yaml").read_text())["seed_everything"] == seed


def joined(rank: int, processes: int, launcher: str) -> None:
    """One of two processes of one training, which were started from outside."""
    devices = ["trainer.devices=2"]
    if launcher == "slurm":
        for name, value in (("PROCID", rank), ("LOCALID", rank), ("NODEID", 0), ("NTASKS", 2)):
            os.environ[f"SLURM_{name}"] = str(value)
        os.environ |= {"SLURM_JOB_ID": "44", "SLURM_STEP_ID": "1", "SLURM_JOB_NAME": "train"}
        os.environ |= {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1"}
    if launcher == "nodes":
        os.environ |= {"NODE_RANK": str(rank), "LOCAL_RANK": "0"}
        devices = ["trainer.devices=1", "trainer.num_nodes=2"]
    main([*GAN, *devices, "trainer.max_steps=3", "checkpoint.every=1"])
    main(["train", "ckpt_path=last", "trainer.max_steps=5"])
    main(["validate", "ckpt_path=last"])


@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param("devices", marks=pytest.mark.slow),
        pytest.param("nodes", marks=pytest.mark.slow),
        "slurm",
    ],
)
def test_processes_that_train_together_share_the_folder_of_the_first(
    launcher: str, tmp_path: Path
) -> None:
    several(2, partial(joined, launcher=launcher), tmp_path / "results")
    run, validated = sorted(Path("runs/gan/gaussians").iterdir())
    assert validated.name.endswith("_validate")
    assert run.name == "slurm-44.1" if launcher == "slurm" else run.name.startswith("20")
    assert steps(run) == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "last-step=4.ckpt",
        "last-step=5.ckpt",
    ]
    record: dict[str, Any] = json.loads((run / "run.json").read_text())
    assert record["training"]["task"] is None


def test_a_checkpoint_is_resumed_by_its_name_alone_in_its_own_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run.resolve()
    monkeypatch.chdir(run / "checkpoints")
    main(["train", "ckpt_path=last-step=3.ckpt", "trainer.max_steps=4"])
    monkeypatch.chdir(run / "images")
    main(["train", "ckpt_path=../checkpoints/last-step=4.ckpt", "trainer.max_steps=5"])
    assert steps(run) == [1, 2, 3, 4, 5]


def test_a_folder_that_is_chosen_by_its_variable_may_begin_with_a_tilde_or_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "~/mine")
    main([*GAN, "trainer.max_steps=1"])
    assert not Path("~").exists()
    assert (home / "mine" / "run.json").is_file()
    assert (home / "mine" / "checkpoints" / "last-step=1.ckpt").is_file()
    monkeypatch.setenv("LIGHTNING_GANS_RUN", "")
    main([*GAN, "trainer.max_steps=1"])
    assert (only(Path("runs/gan/gaussians")) / "run.json").is_file()


@pytest.mark.parametrize(("name", "value"), [("RANK", "abc"), ("SLURM_NTASKS", "")])
def test_a_launchers_variable_that_is_no_number_is_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert refused(*GAN) == 2
    assert f"unset it (unset {name})" in capsys.readouterr().err
    assert not Path("runs").exists()
