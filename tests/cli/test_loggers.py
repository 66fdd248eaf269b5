"""The records of an offline run in wandb, and of TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import WandbLogger

from lightning_gans.cli import main
from lightning_gans.compat import wandb_arguments
from lightning_gans.runs import wandb_run
from lightning_gans.runs.layout import recency
from tests.support.command_line import MLP, small
from tests.support.wandb_files import config_of, described, history, records, stay_offline


def test_lightning_19728_and_13382_an_offline_run_holds_config_scalars_on_one_axis_and_pictures(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # without an account
    main([*small(image_folder), "logger=wandb", "trainer.val_check_interval=2"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    found = records(run)

    config = config_of(found)
    whole = config["config"]
    assert whole["model"]["init_args"]["latent_dim"] == 6
    assert whole["data"]["class_path"] == "lightning_gans.data.Folder"
    assert "latent_dim" not in config  # no duplicates at the root

    rows = history(found)
    losses = {
        row["trainer/global_step"]: row["generator/latent"]
        for row in rows
        if "generator/latent" in row
    }
    assert list(losses) == [1, 2, 3]
    measured = [row["trainer/global_step"] for row in rows if "latent/loss" in row]
    assert measured == [0, 2, 3]
    for name in ("samples", "reconstructions", "traversals"):
        panels = [row for row in rows if f"images/{name}/filenames" in row]
        assert [row["trainer/global_step"] for row in panels] == [0, 2, 3]
        files = [file for row in panels for file in row[f"images/{name}/filenames"]]
        assert all(list(run.glob(f"wandb/offline-run-*/files/{file}")) for file in files)
    # every scalar is drawn over iterations
    defined = [record.metric for record in found if record.WhichOneof("record_type") == "metric"]
    assert any(
        metric.glob_name == "*" and metric.step_metric == "trainer/global_step"
        for metric in defined
    )


def test_lightning_13524_and_5342_a_resumed_run_stays_one_run_in_wandb(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    main([*small(image_folder), "logger=wandb"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    main([*small(image_folder), "logger=wandb", "ckpt_path=last", "trainer.max_steps=5"])
    ids = [file.stem.rpartition("-")[2] for file in run.glob("wandb/offline-run-*")]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    main([*small(image_folder), "logger=wandb"])
    another = max((tmp_path / "runs" / "dlsgan" / "folder").iterdir())
    assert another != run
    assert not list(another.glob(f"wandb/offline-run-*{ids[0]}"))


def test_tensorboard_gets_scalars_and_pictures(image_folder: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    main([*small(image_folder), "logger=tensorboard"])
    (run,) = (tmp_path / "runs" / "dlsgan" / "folder").iterdir()
    # by default it keeps one histogram of a name
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"histograms": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("discriminator/r1")] == [1, 2, 3]
    for name in ("samples", "reconstructions", "traversals", "spectrum"):
        assert [event.step for event in events.Images(f"images/{name}")] == [0, 3]
    for name in ("latent/v", "latent/s"):
        histograms = [event.histogram_value for event in events.Histograms(name)]
        assert [found.num for found in histograms] == [6, 6]
    # s² adds up to the number of elements
    assert histograms[-1].sum_squares == pytest.approx(6, rel=1e-4)


WANDB = [*MLP, "model=gan", "logger=wandb", "trainer.max_steps=1", "trainer.limit_val_batches=2"]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without an account, on which nothing else is set."""
    stay_offline(monkeypatch, tmp_path)


def runs_of(folder: str = "gaussians") -> list[Path]:
    """The runs in the order in which they were started."""
    return sorted(Path("runs/gan", folder).iterdir(), key=recency)


@pytest.mark.usefixtures("offline")
def test_a_run_that_is_repeated_from_its_config_is_another_one_in_wandb() -> None:
    main(WANDB)
    (first,) = runs_of()
    assert "id: null" in (first / "config.yaml").read_text()
    name = described(first).run_id
    assert json.loads((first / "wandb.json").read_text())["id"] == name
    main([f"--config={first}/config.yaml"])
    second = runs_of()[-1]
    assert second != first
    assert described(second).run_id != name
    assert described(first).run_id == name
    main([f"ckpt_path={first}", "trainer.max_steps=2"])
    assert {path.name[-8:] for path in first.glob("wandb/offline-run-*")} == {name}


@pytest.mark.usefixtures("offline")
def test_a_run_of_version_0_2_0_with_its_id_in_the_config_resumes_and_is_repeated() -> None:
    main(WANDB)
    (first,) = runs_of()
    (first / "wandb.json").unlink()
    (first / "run.json").unlink()
    config = (first / "config.yaml").read_text().replace("id: null", "id: abcd1234")
    (first / "config.yaml").write_text(config)
    main([f"--config={first}/config.yaml"])
    assert described(runs_of()[-1]).run_id != "abcd1234"
    main(["test", f"ckpt={first}"])
    (tested,) = Path("runs/gan/gaussians").glob("*_test")
    assert described(tested).run_id != "abcd1234"
    main([f"ckpt_path={first}", "trainer.max_steps=2"])
    assert described(first).run_id == "abcd1234"
    assert json.loads((first / "wandb.json").read_text())["id"] == "abcd1234"


@pytest.mark.usefixtures("offline")
def test_the_variables_of_wandb_count_where_nothing_is_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    for name, value in {
        "RUN_ID": "mine-7",
        "PROJECT": "faces",
        "ENTITY": "lab",
        "NAME": "third try",
        "RUN_GROUP": "ablation",
        "JOB_TYPE": "train",
        "TAGS": "a,b",
        "NOTES": "a long story",
        "DIR": str(tmp_path / "logs"),
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    main(WANDB)
    (run,) = runs_of()
    found = described(tmp_path / "logs")
    assert (found.run_id, found.project, found.entity) == ("mine-7", "faces", "lab")
    assert (found.display_name, found.run_group, found.job_type) == (
        "third try",
        "ablation",
        "train",
    )
    assert (list(found.tags), found.notes) == (["a", "b"], "a long story")
    assert not (run / "wandb").exists()
    # the run stays where it was, also without the variables
    for name in ("RUN_ID", "PROJECT", "ENTITY", "DIR"):
        monkeypatch.delenv(f"WANDB_{name}")
    main(["ckpt_path=last", "trainer.max_steps=2"])
    found = described(run)
    assert (found.run_id, found.project, found.entity) == ("mine-7", "faces", "lab")


@pytest.mark.usefixtures("offline")
def test_what_is_typed_in_a_loggers_file_comes_before_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("own.yaml").write_text(
        "trainer: {logger: [{class_path: lightning.pytorch.loggers.WandbLogger, init_args: "
        "{project: typed, id: typed-1, name: typed name}}]}\n"
    )
    for name in ("PROJECT", "RUN_ID", "NAME"):
        monkeypatch.setenv(f"WANDB_{name}", "variable")
    main([*WANDB, "logger=own.yaml"])
    (run,) = runs_of()
    found = described(run)
    assert (found.project, found.run_id, found.display_name) == ("typed", "typed-1", "typed name")


@pytest.mark.usefixtures("offline")
def test_a_run_of_a_sweep_keeps_wandbs_id_and_resumes_as_that_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as agent:
        agent.setenv("WANDB_SWEEP_ID", "sweep123")
        agent.setenv("WANDB_RUN_ID", "trial456")
        agent.setenv("WANDB_PROJECT", "sweeps")
        main(WANDB)
    (run,) = runs_of()
    assert described(run).run_id == "trial456"
    assert described(run).sweep_id == "sweep123"
    main(["train", "ckpt_path=last", "trainer.max_steps=2"])
    assert (described(run).run_id, described(run).project) == ("trial456", "sweeps")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"id": "../../elsewhere"}', '{"id": ".."}', '{"id": 3}']
)
def test_a_damaged_or_forged_id_of_wandb_is_kept_and_not_used(content: str, tmp_path: Path) -> None:
    (tmp_path / "wandb.json").write_text(content)
    with pytest.warns(UserWarning, match=r"wandb.json: .*; it is kept as wandb.damaged.json"):
        assert wandb_run.read(tmp_path) == {}
    assert (tmp_path / "wandb.damaged.json").read_text() == content
    assert wandb_run.arguments(tmp_path, {})["id"] is None


@pytest.mark.usefixtures("offline")
def test_wandb_resumes_as_its_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb_run.arguments(None, {"resume": "allow"})["resume"] == "allow"
    monkeypatch.setenv("WANDB_RESUME", "must")
    assert wandb_run.arguments(None, {"resume": "allow"})["resume"] == "must"
    assert wandb_run.arguments(None, {"resume": "never"})["resume"] == "never"
    logger = WandbLogger()
    arguments = wandb_arguments(logger)
    arguments |= wandb_run.arguments(None, arguments)
    started: dict[str, Any] = {}

    def init(**kwargs: Any) -> object:
        started.update(kwargs)
        return object()

    monkeypatch.setattr("wandb.init", init)
    assert logger.experiment is not None
    assert started["resume"] == "must"


@pytest.mark.usefixtures("offline")
def test_wandb_that_is_switched_off_records_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    main(WANDB)
    (run,) = runs_of()
    assert not (run / "wandb.json").exists()


@pytest.mark.parametrize("name", ["WANDB_MODE", "WANDB_RESUME"])
def test_a_variable_of_wandb_with_a_wrong_word_is_one_line(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv(name, "ofline")
    with pytest.raises(SystemExit) as end:
        main(["model=gan", *MLP, "logger=wandb", "trainer.max_steps=1"])
    assert end.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: wandb: ")
    assert "ofline" in said
