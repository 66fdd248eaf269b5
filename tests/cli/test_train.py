"""Translating a command line into options."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lightning_gans.cli import CONFIGS
from lightning_gans.cli.errors import one_line
from lightning_gans.cli.grammar import Groups
from lightning_gans.cli.train import Command, parse_command
from lightning_gans.errors import UsageError

ROOT = CONFIGS.parent


def parse(argv: list[str]) -> Command:
    """Parse a command line, whose first argument may be the command."""
    has_command = argv[:1] in (["fit"], ["test"])
    command = argv[0] if has_command else "train"
    return parse_command(command, argv[has_command:], Groups([CONFIGS]))


def files(command: Command) -> list[str]:
    chosen = [Path(o.partition("=")[2]) for o in command.options if o.startswith("--config=")]
    return [f"{path.parent.name}/{path.stem}" for path in chosen]


def settings(command: Command) -> list[str]:
    return [option for option in command.options if not option.startswith("--config=")]


def test_a_model_is_enough() -> None:
    command = parse(["model=dlsgan"])
    assert command.subcommand == "fit"
    assert files(command) == ["trainer/default", "model/dlsgan", "data/mnist5k", "logger/csv"]
    assert command.names == {"model": "dlsgan", "data": "mnist5k"}


def test_groups_come_before_values_whatever_their_order() -> None:
    words = ["trainer.max_steps=3", "experiment=demo", "data=mnist", "model=gan", "logger=wandb"]
    command = parse(words)
    expected = ["trainer/default", "model/gan", "data/mnist", "logger/wandb", "experiment/demo"]
    assert files(command) == expected
    assert settings(command) == ["--trainer.max_steps=3"]
    assert command == parse(words[::-1])


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("model.latent_dim=16", "--model.latent_dim=16"),
        ("--model.latent_dim=16", "--model.latent_dim=16"),
        ("optimizer.lr=0.1", "--model.optimizer.lr=0.1"),
        ("--optimizer.lr=0.1", "--model.optimizer.lr=0.1"),
        ("seed_everything=3", "--seed_everything=3"),
        ("ckpt_path=null", "--ckpt_path=null"),
        ("checkpoint.monitor=two words", "--checkpoint.monitor=two words"),
        ("trainer.callbacks=null", "--trainer.callbacks=null"),
    ],
)
def test_values(word: str, option: str) -> None:
    assert settings(parse(["model=dlsgan", word])) == [option]


def test_the_syntax_of_lightning_is_accepted() -> None:
    config = str(CONFIGS / "model" / "dlsgan.yaml")
    command = parse(["fit", "--config", config, "--trainer.devices", "4"])
    assert files(command) == ["trainer/default", "data/mnist5k", "logger/csv", "model/dlsgan"]
    assert settings(command) == ["--trainer.devices=4"]
    assert command.names["model"] == "dlsgan"


def test_a_group_written_as_an_option() -> None:
    assert parse(["--model", "gan", "--data=mnist"]) == parse(["model=gan", "data=mnist"])


def test_an_experiment_names_its_model() -> None:
    command = parse(["experiment=dlsgan_ffhq", "data=ffhq"])
    assert command.names == {"model": "dlsgan_ffhq", "data": "ffhq"}


def test_data_named_together_with_an_experiment_replace_its_own() -> None:
    command = parse(["experiment=pvdgan_ffhq", "data=afhq"])
    assert files(command)[-1] == "data/afhq"
    # an experiment without data overrides those that are named
    command = parse(["experiment=demo", "data=mnist", "model=gan"])
    assert files(command)[-1] == "experiment/demo"


def test_a_file_of_a_group_sets_what_the_group_is_about(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    for text in ("", "class_path: GAN\n"):
        mine.write_text(text)
        with pytest.raises(UsageError, match=r"mine.yaml does not set model, .* 'model:'"):
            parse([f"model={mine}"])


def test_class_paths_of_earlier_versions_are_those_of_today(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("trainer: {logger: [{class_path: lightning_gans.loggers.MetricsCSV}]}\n")
    mixing = "model.mixing=lightning_gans.models.mixing.MixedBatches"
    command = parse(["model=cagan", mixing, f"logger={own}"])
    assert settings(command) == ["--model.mixing=lightning_gans.models.MixedBatches"]
    (changed,) = (option for option in command.options if option.startswith("--config={"))
    assert "lightning_gans.runs.metrics_csv.MetricsCSV" in changed


def test_groups_that_are_named_replace_those_of_a_config_file(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model: {class_path: GAN}\ndata: {class_path: Mine}\ntrainer: {logger: false}\n")
    command = parse(["data=mnist", "logger=csv", f"--config={own}"])
    assert files(command)[-3:] == [f"{tmp_path.name}/own", "data/mnist", "logger/csv"]
    assert command.names == {"model": "own", "data": "mnist"}


def test_data_that_are_named_are_those_a_checkpoint_is_tested_on(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "gan" / "mnist5k" / "now"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("model: {}\ndata: {}\n")
    zipfile.ZipFile(run / "checkpoints" / "last-step=3.ckpt", "w").close()
    command = parse(["test", f"ckpt={run}", "data=mnist"])
    assert files(command) == ["now/config", "data/mnist"]
    assert command.names == {"model": "gan", "data": "mnist"}


def test_a_part_is_named_before_its_own_options_are_set() -> None:
    words = ["model.generator.channels=8", "model.generator=Mine", "model=gan"]
    assert settings(parse(words)) == ["--model.generator=Mine", "--model.generator.channels=8"]


def test_the_discriminators_optimizer_is_of_the_other_ones_class_if_none_is_named() -> None:
    key = "--model.discriminator_optimizer"
    command = parse(["model=dlsgan", "discriminator_optimizer.lr=0.1"])
    assert settings(command) == [f"{key}=lightning_gans.optimizers.AdamW", f"{key}.lr=0.1"]
    command = parse(["model=dlsgan", "discriminator_optimizer=torch.optim.SGD"])
    assert settings(command) == [f"{key}=torch.optim.SGD"]


def test_a_runs_folder_means_its_newest_checkpoint_under_either_name(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "gan" / "mnist5k" / "now"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("model: {}\ndata: {}\n")
    for step in (3, 12):
        zipfile.ZipFile(run / "checkpoints" / f"last-step={step}.ckpt", "w").close()
    newest = f"--ckpt_path={run}/checkpoints/last-step=12.ckpt"
    for word in (f"ckpt={run}", f"ckpt_path={run}", f"--ckpt={run}/checkpoints/last-step=12.ckpt"):
        assert settings(parse(["test", word])) == [newest]


def test_configs_of_this_folder_come_before_those_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("model: {class_path: GAN}\n")
    (folder / "gan.yaml").write_text("model: {class_path: Mine}\n")
    groups = Groups()
    assert {"mine", "gan", "dlsgan"} <= set(groups.names("model"))
    assert groups.find("model", "gan").resolve() == folder / "gan.yaml"
    assert groups.find("model", "dlsgan") == CONFIGS / "model" / "dlsgan.yaml"
    for name in ("../model/gan", "/etc/gan", "", "."):
        with pytest.raises(UsageError, match="there is no model"):
            groups.find("model", name)


@pytest.mark.parametrize("name", ["photos", "./photos", "my photos", "sets/photos"])
def test_a_folder_of_images_that_is_given_as_data_is_answered_with_what_to_type(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    root = shlex.quote(f"data.root={name}")
    with pytest.raises(UsageError, match=re.escape(f"write data=folder {root}")):
        parse(["model=dlsgan", f"data={name}"])
    with pytest.raises(UsageError, match="there is no model"):
        parse([f"model={name}"])
    with pytest.raises(UsageError, match="there is no data 'phots'"):
        parse(["model=dlsgan", "data=phots"])


def test_a_section_that_is_given_needs_no_default(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("model: {class_path: GAN}\ndata: {class_path: Mine}\ntrainer: {logger: false}\n")
    assert files(parse([f"--config={own}"])) == [
        "trainer/default",
        f"{tmp_path.name}/own",
    ]
    assert "data/mnist5k" not in files(parse(["model=gan", "--data=Mine"]))


def test_a_group_can_be_the_path_of_a_file(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("model: {class_path: GAN}\n")
    command = parse([f"model={own}"])
    assert f"{tmp_path.name}/mine" in files(command)


def test_a_checkpoint_brings_its_runs_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "gan" / "mnist5k" / "now"
    (run / "checkpoints").mkdir(parents=True)
    zipfile.ZipFile(run / "checkpoints" / "last-step=3.ckpt", "w").close()
    (run / "config.yaml").write_text("model: {}\ndata: {}\nema: {}\ntrainer: {logger: null}\n")
    checkpoint = f"{run}/checkpoints/last-step=3.ckpt"
    command = parse(["test", f"ckpt_path={checkpoint}"])
    assert files(command) == ["now/config"]
    assert command.names == {"model": "gan", "data": "mnist5k"}
    # typed options override the config; model and data choose the run
    monkeypatch.chdir(tmp_path)
    words = ["model=gan", "ckpt_path=last", "logger=wandb", "trainer.max_steps=9"]
    command = parse(words)
    assert files(command) == ["now/config", "logger/wandb"]
    assert settings(command) == [
        "--ckpt_path=runs/gan/mnist5k/now/checkpoints/last-step=3.ckpt",
        "--trainer.max_steps=9",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=nosuch"], r"no model 'nosuch'.*dlsgan"),
        (["model=dlsgam"], r"did you mean 'dlsgan'"),
        (["model=dlsgan", "data=mnist6k"], r"no data 'mnist6k' \(did you mean 'mnist5k'\?\)"),
        (["modle=dlsgan"], r"no group or option 'modle' \(did you mean 'model'\?\); groups are"),
        (["model=dlsgan", "tset"], r"expected group=name.*got 'tset' \(did you mean 'test'"),
        (["model=dlsgan", "lr=1"], r"no group or option 'lr' \(did you mean 'optimizer.lr'\?\)"),
        (["model=dlsgan", "latent_dim=8"], r"did you mean 'model.latent_dim'\?"),
        (["model=dlsgan", "batch_size=8"], r"did you mean 'data.batch_size'\?"),
        (["model=dlsgan", "max_steps=8"], r"did you mean 'trainer.max_steps'\?"),
        ([], r"no model is named; give model=NAME, one of .*dlsgan"),
        (["model=dlsgan", "--config", "nowhere.yaml"], r"no config file nowhere.yaml"),
        (["model=nowhere.yaml"], r"no config file nowhere.yaml"),
        (["model=dlsgan", "--trainer.devices"], r"option --trainer.devices has no value"),
        (["model=dlsgan", "logger.project=x"], r"a logger is configured in its file"),
        (["model=dlsgan", "seed_everything=-1"], r"whole number from 0"),
        (["model=dlsgan", "seed_everything=false"], r"whole number from 0"),
        (["model=dlsgan", "seed_everything=4294967296"], r"whole number from 0 to 4,294,967,295"),
        (["model=dlsgan", "seed_everything=²"], r"whole number from 0"),
        (["model=dlsgan", "-x=3"], r"no group or option '-x'"),
        (["model=dlsgan", ".r1=3"], r"no group or option '.r1'"),
        (["model=dlsgan", "model..r1=3"], r"no group or option 'model..r1'"),
        (
            ["model=dlsgan", "--config", "OWN"],
            r"own.yaml sets the model",
        ),
        (["test", "ckpt_path="], r"ckpt_path= has no value"),
        (["xxmodel=dlsgan"], r"no group or option 'xxmodel'"),
    ],
)
def test_mistakes_name_what_is_wrong_and_what_exists(
    words: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text("model: {class_path: GAN}\n")
    words = [str(tmp_path / "own.yaml") if word == "OWN" else word for word in words]
    with pytest.raises(UsageError, match=message) as caught:
        parse(words)
    assert "\n" not in str(caught.value)


def test_invalid_config_files(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("model: [1, 2\n")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(UsageError, match=r"broken.yaml is not YAML") as caught:
        parse([f"--config={tmp_path}/broken.yaml"])
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"list.yaml: expected sections"):
        parse([f"--config={tmp_path}/list.yaml"])


def test_a_wrong_name_is_found_before_torch_is_imported() -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from lightning_gans.cli import main\n"
        "try:\n    main(['model=nosuch'])\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert done.stderr.count("\n") == 1


def test_reports_of_many_lines_become_one() -> None:
    message = """Parser key "model":
      Does not validate against any of the Union subtypes
      Errors:
        - Problem with given class_path 'lightning_gans.models.DLSGAN':
            Parser key "latent_dim":
              Expected a <class 'int'>. Got value: many"""
    assert str(one_line(message, [])) == "model.latent_dim: expected whole number, got many"
    message = """Does not validate against any of the Union subtypes
        Subtypes: [<class 'lightning_gans.models.base.model.Model'>, <class 'NoneType'>]
        Errors:
          - image_shape must be (channels, side, side) with a side of 16; got (1, 8, 8): resize
          - Expected a <class 'NoneType'>
        Given value type: <class 'jsonargparse._namespace.Namespace'>
        Given value: Namespace(class_path='lightning_gans.models.DLSGAN')"""
    text = "image_shape must be (channels, side, side) with a side of 16; got (1, 8, 8): resize"
    assert str(one_line(message, [])) == text
    message = """Parser key "model":
        - Problem with given class_path 'lightning_gans.models.DLSGAN':
            Option 'latent_dims' is not accepted"""
    text = str(one_line(message, []))
    assert "no option 'model.latent_dims' (did you mean 'model.latent_dim'?)" in text
    assert "the options of DLSGAN are" in text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model=gan", "model.generator.channels=8"], ["generator=lightning_gans.networks.Conv"]),
        (
            ["model=gan", "data=gaussians", "model.discriminator.width=8"],
            ["discriminator=lightning_gans.networks.MLP"],
        ),
        (["model=gan", "model.generator=My", "model.generator.channels=8"], ["generator=My"]),
        (["model=wgan_gp", "model.generator.channels=8"], []),
        (["model=gan"], []),
    ],
)
def test_a_networks_setting_is_the_standard_networks_if_none_is_named(
    words: list[str], named: list[str]
) -> None:
    found = [o for o in parse(words).options if o.startswith("--model.")]
    found = [o for o in found if o.partition("=")[0].count(".") == 1]
    assert len(found) == len(named)
    for option, expected in zip(found, named, strict=True):
        assert option.startswith(f"--model.{expected}")
