"""What a run shows in wandb, read back from the files of offline runs."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
import yaml
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from lightning_gans.callbacks import Dashboard, dashboard
from lightning_gans.callbacks.checkpoint import Requeued
from lightning_gans.callbacks.dashboard import alert_of
from lightning_gans.callbacks.signals import StoppedBySignal
from lightning_gans.cli import main
from lightning_gans.models import DLSGAN, GAN, Model
from lightning_gans.models.base.alternating import AlternatingTurns
from lightning_gans.runs import wandb_run
from lightning_gans.runs.wandb_logger import WandbLogger
from tests.support.command_line import MLP, ROOT, only, small
from tests.support.training import points, trainer
from tests.support.wandb_files import (
    config_of,
    described,
    history,
    newest,
    of_kind,
    stay_offline,
    summary_of,
)

POINTS = [*MLP, "model=gan", "logger=wandb", "trainer.max_steps=1", "trainer.limit_val_batches=2"]
NAMES = ("display_name", "run_group", "job_type", "notes", "project")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stay_offline(monkeypatch, tmp_path)


def names_of(run: Path) -> list[Any]:
    found = described(run)
    return [*(getattr(found, name) for name in NAMES), list(found.tags)]


def test_a_run_is_called_by_its_model_data_and_folder_and_as_typed_where_something_is_typed() -> (
    None
):
    main(POINTS)
    run = only(Path("runs/gan/gaussians"))
    family = "gan/gaussians"
    assert names_of(run) == [f"{family}/{run.name}", family, "train", "", "lightning_gans", []]
    # a name that somebody has changed in wandb stays; what is typed is sent
    main([f"ckpt_path={run}", "trainer.max_steps=2", "wandb.tags=[a, b]", "wandb.notes=a: note"])
    assert names_of(run) == ["", "", "", "a: note", "lightning_gans", ["a", "b"]]
    main(["validate", f"ckpt={run}", "wandb.project=faces", "wandb.name=mine", "wandb.tags=c,d"])
    (other,) = (path for path in Path("runs/gan/gaussians").iterdir() if path != run)
    assert names_of(other) == ["mine", family, "validate", "a: note", "faces", ["c", "d"]]


def test_what_is_typed_comes_before_the_loggers_file_and_wandbs_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = {"name": "usual", "group": "usual", "job_type": "train"}
    typed = {"name": "typed", "tags": ["a"]}
    monkeypatch.setenv("WANDB_NAME", "variable")
    monkeypatch.setenv("WANDB_RUN_GROUP", "variable")
    found = wandb_run.labels(None, typed, usual)
    # wandb reads its variables itself, where an argument is None
    assert found == {
        **{"name": "typed", "group": None, "job_type": "train"},
        **{"tags": ["a"], "notes": None},
    }


def test_a_label_for_a_run_that_does_not_log_to_wandb_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["model=gan", *MLP, "wandb.name=mine", "trainer.max_steps=1"])
    assert "wandb.name=mine is for wandb, to which this run does not log; add logger=wandb" in (
        capsys.readouterr().err
    )
    assert not list(Path().glob("runs/gan/gaussians/*/config.yaml"))
    with pytest.raises(SystemExit):
        main([*POINTS, "wandb.tag=a"])
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("tags", ["a,,b", "", ["x" * 65]])
def test_a_tag_that_wandb_would_not_take_is_refused(tags: str | list[str]) -> None:
    with pytest.raises(ValueError, match="tags: expected words of 1 to 64 characters, got '"):
        Dashboard(tags=tags)


def file_of(run: Path, name: str) -> Path:
    """A file that a run has logged."""
    (found,) = run.glob(f"wandb/offline-run-*/files/{name}")
    return found


def table_of(run: Path, row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a table that a run has logged."""
    content = json.loads(file_of(run, row[f"{name}/path"]).read_text())
    return [dict(zip(content["columns"], values, strict=True)) for values in content["data"]]


def check_config(config: dict[str, Any]) -> None:
    assert (config["model"], config["data"], config["optimizer.lr"]) == ("dlsgan", "folder", 0.003)
    assert config["model.latent_dim"] == 6
    assert config["trainer.max_steps"] == 3
    assert config["config"]["model"]["class_path"] == "lightning_gans.models.DLSGAN"


def check_best(rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    for name, best, which in (("psnr/real", max, "max"), ("latent/loss", min, "min")):
        values = [row[name] for row in rows if name in row]
        assert len(values) == 2
        assert summary[name] == {which: best(values)}
    # neither way is better
    last = [row["latent/entropy"] for row in rows if "latent/entropy" in row][-1]
    assert summary["latent/entropy"] == last


def check_latents(run: Path, rows: list[dict[str, Any]]) -> None:
    histograms = [row for row in rows if "latent/v/values" in row]
    assert [row["trainer/global_step"] for row in histograms] == [0, 3]
    for row in histograms:
        assert sum(row["latent/v/values"]) == sum(row["latent/s/values"]) == 6
        assert Image.open(file_of(run, row["images/spectrum/path"])).size == (500, 350)
        line = table_of(run, row, "latent/spectrum_table")
        s = [point["lineVal"] for point in line if point["lineKey"] == "s"]
        assert s == sorted(s, reverse=True)
        # s² adds up to the number of elements
        assert sum(value * value for value in s) == pytest.approx(6, rel=1e-4)


def check_tables(run: Path, rows: list[dict[str, Any]]) -> None:
    (row,) = [row for row in rows if "tables/ood/path" in row]
    shown = table_of(run, row, "tables/ood")
    kinds = [each["images"] for each in shown]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        **{"validation": 16, "sample": 16, "noise": 16},
    }
    assert all(isinstance(each["ood score"], float) for each in shown)
    (row,) = [row for row in rows if "tables/goodness_of_fit/path" in row]
    fits = {each["images"]: each for each in table_of(run, row, "tables/goodness_of_fit")}
    assert (fits["validation"]["codes"], fits["noise"]["codes"]) == (24, 16)
    assert all(0 <= fit["Kolmogorov-Smirnov p"] <= 1 for fit in fits.values())


def test_a_run_shows_its_best_values_latents_tables_and_checkpoints(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    def counted(trainer: Trainer, model: Model) -> Any:
        encoding = DLSGAN.encoding

        def counting(self: DLSGAN, x: Tensor) -> Any:
            encoded.append(len(x))
            return encoding(self, x)

        with monkeypatch.context() as patched:
            patched.setattr(DLSGAN, "encoding", counting)
            return tables_of(trainer, model)

    tables_of = dashboard.tables_of
    monkeypatch.setattr("lightning_gans.callbacks.dashboard.tables_of", counted)
    main([*small(image_folder), "logger=wandb", "wandb.checkpoints=true", "optimizer.lr=0.003"])
    run = only(Path("runs/dlsgan/folder"))
    found = newest(run)
    rows = history(found)
    check_config(config_of(found))
    check_best(rows, summary_of(found))
    check_latents(run, rows)
    check_tables(run, rows)
    # validation images, samples and noise, once
    assert encoded == [24, 24, 16]
    (artifact,) = [a for a in of_kind(found, "artifact") if a.type == "model"]
    assert {"last", "step-3"} <= set(artifact.aliases)
    (stored,) = artifact.manifest.contents
    assert stored.path == "last-step=3.ckpt"
    assert Path(stored.local_path).read_bytes() == (run / "checkpoints" / stored.path).read_bytes()

    # the best of a resumed run is that of the whole run
    with (run / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    first = next(line for line in lines if line["psnr/real"])
    first["psnr/real"] = "99.0"
    with (run / "metrics.csv").open("w") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    main([f"ckpt_path={run}", "trainer.max_steps=4"])
    found = newest(run)
    assert described(run).run_id == json.loads((run / "wandb.json").read_text())["id"]
    assert summary_of(found)["psnr/real"] == {"max": 99.0}
    # sending weights is for the user to ask for, not for a file
    assert not [a for a in of_kind(found, "artifact") if a.type == "model"]


def stopped(monkeypatch: pytest.MonkeyPatch, happens: Any, status: int) -> list[Any]:
    """The records of a run in whose second iteration something happens."""
    step = GAN.training_step

    def training_step(self: GAN, *args: Any) -> None:
        if self.global_step == 1:
            happens(self)
        step(self, *args)

    monkeypatch.setattr(GAN, "training_step", training_step)
    with pytest.raises(SystemExit) as end:
        main([*POINTS, "trainer.max_steps=4"])
    assert end.value.code == status
    return newest(only(Path("runs/gan/gaussians")))


def test_a_non_finite_loss_is_an_alert_and_the_run_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def poison(model: AlternatingTurns) -> None:
        for weight in model.parameters():
            weight.data.fill_(torch.nan)

    found = stopped(monkeypatch, poison, 1)
    (alert,) = of_kind(found, "alert")
    assert (alert.title, alert.level) == ("non-finite loss", "ERROR")
    assert "in iteration 2; training stops before it changes the weights" in alert.text
    assert of_kind(found, "exit")[0].exit_code != 0


def test_a_run_that_is_ended_by_its_machine_is_an_alert_and_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = stopped(monkeypatch, lambda _: signal.raise_signal(signal.SIGTERM), 143)
    (alert,) = of_kind(found, "alert")
    assert (alert.title, alert.level) == ("preempted", "WARN")
    assert alert.text == "SIGTERM stopped it after iteration 2"
    assert of_kind(found, "exit")[0].exit_code != 0


def test_a_requeued_job_is_an_alert_and_whoever_pressed_ctrl_c_gets_none() -> None:
    found = alert_of(Requeued(138), 7)
    assert found is not None
    assert found[0] == "preempted"
    assert found[1].endswith("resumes it after iteration 7")
    assert alert_of(StoppedBySignal(signal.SIGINT), 7) is None
    assert alert_of(KeyboardInterrupt(), 7) is None
    assert alert_of(ValueError("wrong shape"), 7) is None


def test_a_run_that_is_stopped_before_it_has_begun_starts_no_run_in_wandb_for_an_alert(
    tmp_path: Path,
) -> None:
    runner = trainer(tmp_path, Dashboard(), logger=WandbLogger(save_dir=str(tmp_path)))
    Dashboard().on_exception(runner, points(), StoppedBySignal(signal.SIGTERM))
    assert wandb.run is None
    assert not list(tmp_path.glob("wandb/*"))


def agents_words(sweep: dict[str, Any], chosen: dict[str, Any]) -> list[str]:
    """The command that wandb's agent runs, by its own functions, without an environment."""
    macros = create_sweep_command_args({"args": {k: {"value": v} for k, v in chosen.items()}})
    macros |= {"env": [], "program": [sweep["program"]]}
    words: list[str] = []
    for word in create_sweep_command(sweep["command"]):
        words += macros[word[2:-1]] if word.startswith("${") else [word]
    return words


def test_a_run_of_the_sweep_file_starts_as_wandbs_agent_writes_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep = yaml.safe_load((ROOT / "configs" / "sweep.yaml").read_text())
    chosen = {}
    for name, given in sweep["parameters"].items():
        chosen[name] = given.get("value", given.get("min", given.get("values", [None])[0]))
    assert (chosen["model"], chosen["optimizer.lr"], chosen["model.r1"]) == ("dlsgan", 3e-4, 1.0)
    # in less time, with what an agent writes of a sweep's other kinds of values
    chosen |= {"trainer.max_steps": 2, "trainer.limit_val_batches": 2, "data.batch_size": 8}
    chosen |= {"model.generator.channels": 2, "model.discriminator.channels": 2}
    chosen |= {"trainer.enable_progress_bar": False, "model.optimizer.betas": [0.0, 0.9]}
    chosen |= {"evaluation.features": "null", "optimizer.lr": 1e-05}
    program, *words = agents_words(sweep, chosen)
    assert program == "lightning-gans"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep123")
    monkeypatch.setenv("WANDB_RUN_ID", "trial456")
    monkeypatch.setenv("WANDB_PROJECT", sweep["project"])
    main(words)
    found = newest(only(Path("runs/dlsgan/mnist5k")))
    run = of_kind(found, "run")[0]
    assert (run.run_id, run.sweep_id, run.project) == ("trial456", "sweep123", "lightning_gans")
    # the agent's parameters and the run's config have the same names and values
    config = config_of(found)
    same = {name: value for name, value in chosen.items() if name not in ("logger",)}
    same["optimizer.betas"] = same.pop("model.optimizer.betas")
    del same["evaluation.features"]
    assert {name: config[name] for name in same} == same
