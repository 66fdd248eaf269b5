"""The command line, from its arguments to the run's folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import lightning_gans
from lightning_gans.cli import CONFIGS, main, workflow
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import COMMANDS
from lightning_gans.cli.workflow import workflows
from lightning_gans.models import DLSGAN, GAN
from lightning_gans.safe_yaml import read_mapping
from tests.support.command_line import BRIEF, MLP, ROOT, only, rows, small


def test_a_run_writes_all_of_its_files(image_folder: Path, tmp_path: Path) -> None:
    main([*small(image_folder), "trainer.val_check_interval=2", "optimizer.lr=0.002"])
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    table = rows(run)
    # three iterations; measured before the first, at every second one, and at the end
    trained = [float(row["step"]) for row in table if row["discriminator/adversarial"]]
    measured = [float(row["step"]) for row in table if row["latent/loss"]]
    assert trained == [1, 2, 3]
    assert measured == [0, 2, 3]
    names = {"psnr/fake", "psnr/real", "ssim/fake", "ssim/real"}
    names |= {"latent/loss", "latent/entropy", "latent/active"}
    assert names <= table[0].keys()
    for name in ("samples", "reconstructions", "traversals"):
        for step in (0, 2, 3):
            assert (run / "images" / f"{name}-step={step}.png").is_file()
    samples = Image.open(run / "images" / "samples-step=3.png")
    assert samples.size == (16 * 18 + 2, 5 * 18 + 2)
    assert (run / "curves.png").is_file()
    assert "| latent/loss ↓ |" in (run / "report.md").read_text()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 0.002
    assert config["trainer"]["max_steps"] == 3
    assert config["trainer"]["check_val_every_n_epoch"] is None
    assert "ckpt_path" not in config or config["ckpt_path"] is None
    model = lightning_gans.load(run)
    assert isinstance(model, DLSGAN)
    assert model.image_shape == (1, 16, 16)
    assert model.generate(2).shape == (2, 1, 16, 16)


def test_a_checkpoint_is_tested_and_predicted_by_its_path_alone(
    image_folder: Path, tmp_path: Path
) -> None:
    main([*small(image_folder)])
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    end = [row for row in rows(run) if row["latent/loss"]][-1]
    main(["test", f"ckpt_path={run}/checkpoints/last-step=3.ckpt"])
    (tested,) = (tmp_path / "runs" / "dlsgan" / "folder").glob("*_test")
    (row,) = rows(tested)
    assert float(row["step"]) == 3
    assert (tested / "images" / "samples-step=3.png").is_file()
    # on the averaged weights, and with the same latents: the same numbers
    for name in ("latent/loss", "psnr/fake", "ssim/real"):
        assert float(row[name]) == pytest.approx(float(end[name]), rel=1e-5)
    main(["predict", f"ckpt_path={run}/checkpoints/last-step=3.ckpt"])
    (predicted,) = (tmp_path / "runs").glob("*/*/*_predict/predictions.safetensors")
    from safetensors.torch import load_file

    tensors = load_file(predicted)
    assert tensors["code"].shape == (24, 6)
    model = lightning_gans.load(run)
    torch.testing.assert_close(model.decode(tensors["code"]), tensors["reconstruction"])


def test_lightning_21455_typed_options_override_the_config_of_a_resumed_run(
    tmp_path: Path,
) -> None:
    main(["model=gan", *MLP, "trainer.max_steps=10", "seed_everything=5", "ema.decay=0.9"])
    typed = ["trainer.max_steps=12", "model.r1=3"]
    main(["model=gan", "data=gaussians", "ckpt_path=last", *typed])
    run = only(tmp_path / "runs" / "gan" / "gaussians")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["seed_everything"] == 5
    assert config["ema"]["decay"] == 0.9
    assert config["model"]["init_args"]["generator"]["init_args"]["width"] == 8
    assert config["trainer"]["max_steps"] == 12
    assert config["model"]["init_args"]["r1"] == 3
    saved = torch.load(run / "checkpoints" / "last-step=12.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["r1"] == 3


def test_a_checkpoint_of_another_model_or_a_damaged_one_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["model=gan", *MLP, "trainer.max_steps=2"])
    run = only(tmp_path / "runs" / "gan" / "gaussians")
    before = (run / "metrics.csv").read_bytes()
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_text("no weights")
    for words, message in (
        (["ckpt_path=last", "model.latent_dim=5"], "is of another model: expected"),
        ([f"ckpt_path={damaged}"], "cannot be read as a checkpoint"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["model=gan", "data=gaussians", *words])
        assert end.value.code == 1
        assert message in capsys.readouterr().err
    assert (run / "metrics.csv").read_bytes() == before


def test_the_last_measurement_can_be_the_best(image_folder: Path, tmp_path: Path) -> None:
    main([*small(image_folder), "checkpoint.monitor=latent/loss"])
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    assert (run / "checkpoints" / "best-step=3.ckpt").is_file()


TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], TORCHRUN], ids=["lightning", "torchrun"])
def test_two_processes_train_one_run(
    launcher: list[str], image_folder: Path, tmp_path: Path
) -> None:
    words = [*small(image_folder), "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    words += ["trainer.precision=32-true", "trainer.max_steps=4"]
    done = subprocess.run(
        [sys.executable, *launcher, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    assert [float(r["step"]) for r in rows(run) if r["generator/latent"]] == [1, 2, 3, 4]
    assert lightning_gans.load(run).generate(1).shape == (1, 1, 16, 16)


def test_lightning_7679_ckpt_path_last_resumes_in_the_same_folder(tmp_path: Path) -> None:
    whole = ["model=gan", *MLP, "trainer.max_steps=20"]
    main([*whole])
    run = only(tmp_path / "runs" / "gan" / "gaussians")
    expected = lightning_gans.load(run).state_dict()
    (tmp_path / "runs").rename(tmp_path / "uninterrupted")

    main(["model=gan", *MLP, "trainer.max_steps=10"])
    run = only(tmp_path / "runs" / "gan" / "gaussians")
    # rows that a killed run wrote after its last checkpoint are written again
    with (run / "metrics.csv").open("a") as file:
        width = len(rows(run)[0])
        file.write(",".join(["1"] * (width - 1) + ["17"]) + "\n")
    main([*whole, "ckpt_path=last"])
    assert only(tmp_path / "runs" / "gan" / "gaussians") == run
    steps = [float(row["step"]) for row in rows(run) if row["discriminator/adversarial"]]
    assert steps == list(range(1, 21))
    for name, value in lightning_gans.load(run).state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["trainer.max_stps=3"], 2, "'trainer.max_stps' (did you mean 'trainer.max_steps'?)"),
        (["model.latnt_dim=3"], 2, "'model.latnt_dim' (did you mean 'model.latent_dim'?)"),
        (
            ["model.latent_dim=many"],
            2,
            "model.latent_dim: expected whole number from 1",
        ),
        (["trainer.max_steps=many"], 2, "trainer.max_steps: expected whole number ≥ -1, got many"),
        (["model.generator.chanels=3"], 2, "no option 'model.generator.chanels'"),
        (["model.loss=Nope"], 2, "one of Hinge, LeastSquares, NonSaturating, SoftLabels"),
        (["model.loss=wasserstein"], 2, "no class 'wasserstein' (did you mean 'Wasserstein'?)"),
        (
            ["model.augmentation=DiffAugment", "model.augmentation.cutout=2"],
            2,
            "model.augmentation.cutout: expected number from 0 to 1, got 2",
        ),
        (["model.generator=Nope"], 2, "ConvGenerator"),
        (["model.generator=pathlib.Nope"], 2, "there is no 'Nope' in pathlib that fits"),
        (["optimizer.lr=-1"], 2, "optimizer.lr: expected number ≥ 0, got -1"),
        (["trainer.devices=x"], 2, "trainer.devices: expected auto, a number of processes"),
        (["ema.decay=2"], 2, "ema.decay: expected number ≥ 0 and < 1, got 2"),
        (["data.batch_size=0"], 2, "batch_size"),
        (["data=folder", "data.root=/nonexistent"], 1, "/nonexistent"),
        (
            ["data.batch_size=8", "model.generator=SkipGenerator", "data=gaussians"],
            2,
            "image_shape",
        ),
        (["ckpt_path=last"], 2, "there is no run with a checkpoint in runs/dlsgan/*;"),
        (["ckpt_path=nowhere.ckpt"], 2, "nowhere.ckpt"),
        (["trainer.gradient_clip_val=1.0"], 2, "use optimizer.max_norm=1.0"),
        (["trainer.accumulate_grad_batches=2"], 2, "trainer.devices=2"),
        (["data=gaussians", "evaluation.features=DigitFeatures"], 1, "features of images"),
        (["trainer.precision=16-mixed"], 1, "16-mixed is not supported"),
        (["data.batch_size=5000"], 1, "do not fill one batch"),
    ],
)
def test_a_user_error_is_one_line_and_a_status(
    words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["model=dlsgan", *BRIEF, *words])
    assert end.value.code == status
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]


def test_lightning_7679_and_11256_a_second_run_has_its_own_folder_and_config(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        main(["model=gan", *MLP, "trainer.max_steps=1"])
    configs = list(tmp_path.glob("runs/gan/gaussians/*/config.yaml"))
    assert len(configs) == 2
    assert not list(tmp_path.glob("*.yaml"))


def test_print_config_shows_the_merged_config(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["model=dlsgan", "model.latent_dim=16", "trainer.max_steps=7", "--print_config"])
    assert end.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["latent_dim"] == 16
    assert config["trainer"]["max_steps"] == 7
    assert "image_shape" not in config["model"]["init_args"]  # stated once, by the data


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    text = capsys.readouterr().out
    assert "dlsgan" in text
    shown = re.findall(r"^  ([a-z]+(?:[ -][a-z]+)?)  +[A-Za-z]", text, re.MULTILINE)
    assert {*workflows()} <= {name.replace("-", " ") for name in shown}
    # each is called as the table of commands calls it
    lines = (ROOT / "README.md").read_text().splitlines()
    firsts = [line.split("|")[1] for line in lines if line.startswith("| `")]
    named = re.findall(r"`([a-z]+(?:[ -][a-z]+)?)`", " ".join(firsts))
    in_table = {*named, "reproduce run", "reproduce report"}  # written "`run`, `report`" there
    assert not {*shown} - in_table
    for word in ("wandb", "wandb-vew"):
        with pytest.raises(SystemExit):
            main([word])
        assert "wandb-view" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_help_of_a_command_that_runs_a_trained_model_is_its_own(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([command, "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"lightning-gans {command} ckpt=RUN")
    for part in ("threads=null", "trainer.limit_val_batches=", "data.batch_size=", "evaluation.k="):
        assert f"\n  {part}" in text
    assert "max_steps" not in text, "which is for training"


def test_the_help_of_fit_lists_every_option_that_lightning_parses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["fit", "model=dlsgan", "--help"])
    listed = set(re.findall(r"^  ([a-z_.0-9]+)=", capsys.readouterr().out, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["model=dlsgan", "--print_config"])
    config = yaml.safe_load(capsys.readouterr().out)
    expected = {name for name in config if not isinstance(config[name], dict)}
    for section in ("trainer", "ema", "evaluation", "pictures", "checkpoint", "compile", "wandb"):
        expected |= {f"{section}.{name}" for name in config[section]}
    for section in ("model", "data"):
        expected |= {f"{section}.{name}" for name in config[section]["init_args"]}
    refused = ("default_root_dir", "accumulate_grad_batches", "gradient_clip_")
    expected = {name for name in expected if not any(word in name for word in refused)}
    assert len(expected) > 60
    assert expected - listed == set()


HELP = """
import os, sys
from lightning_gans.cli import main
from lightning_gans.cli.train import COMMANDS
from lightning_gans.cli.workflow import workflows
for words in sys.argv[1:]:
    sys.stdout.flush()
    child = os.fork()  # each has the source to read, as a program of its own
    if child:
        print(words, os.waitpid(child, 0)[1], sep=";")
    else:
        main([*words.split(), "--help"])
        heavy = {"torch", "lightning", "jsonargparse", "numpy", "matplotlib"} & set(sys.modules)
        os._exit(bool(heavy))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_help_of_every_command_imports_nothing_heavy() -> None:
    commands = [*COMMANDS, *workflows()]
    done = subprocess.run(
        [sys.executable, "-c", HELP, *commands],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"^([a-z ]+);(\d+)$", done.stdout, re.MULTILINE)
    assert [name for name, _ in found] == commands
    assert [name for name, status in found if status != "0"] == []


def test_help_does_not_read_every_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are hundreds, which take seconds."""
    files: list[Path] = []

    def counted(file: Path, aliases: bool = False) -> dict[str, Any]:
        files.append(file)
        return read_mapping(file, aliases)

    monkeypatch.setattr(workflow, "read_mapping", counted)
    main(["invert", "--help"])
    assert Groups([CONFIGS]).listing("inversion") in " ".join(capsys.readouterr().out.split())
    presets = len(list((CONFIGS / "inversion").iterdir()))
    assert len(files) <= presets + len(list(CONFIGS.iterdir()))


def test_sigterm_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    words = ["model=gan", *MLP, "trainer.max_steps=1000000", "checkpoint.every=1000000"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while (
            not list(tmp_path.glob("runs/gan/gaussians/*/metrics.csv"))
            or len(rows(only(tmp_path / "runs" / "gan" / "gaussians"))) < 20
        ):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    (checkpoint,) = tmp_path.glob("runs/gan/gaussians/*/checkpoints/last-step=*.ckpt")
    assert isinstance(lightning_gans.load(checkpoint), GAN)
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["global_step"] == int(checkpoint.stem.rpartition("=")[2]) >= 20


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("group", ["ood", "reproduce"])
def test_an_option_is_not_taken_for_the_second_word_of_a_command(
    group: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([group, option])
    assert f"'{group}' is incomplete; commands are {group} " in capsys.readouterr().err
