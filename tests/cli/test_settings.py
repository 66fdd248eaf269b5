"""What people type and write wrongly is answered in one line, before anything heavy is imported."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

from lightning_gans import networks
from lightning_gans.cli import CONFIGS, main
from lightning_gans.cli.grammar import Groups, check_spelling
from lightning_gans.cli.options import TRAINER, sides_of, trainer_parameters
from lightning_gans.cli.train import Command, parse_command
from lightning_gans.cli.train_help import full_usage
from lightning_gans.cli.workflow import parse_request, workflows
from lightning_gans.errors import UsageError
from lightning_gans.ranges import Unknown, is_unknown
from lightning_gans.safe_yaml import parse_value
from tests.support.command_line import ROOT

GROUPS = Groups([CONFIGS])


def parse(*words: str) -> Command:
    check_spelling(words)
    return parse_command("train", words, GROUPS)


def refusal(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(*words)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.r1=-1", "model.r1: expected number ≥ 0, got -1"),
        ("model.r1=nan", "model.r1: expected number ≥ 0, got nan"),
        ("model.r1=.inf", "model.r1: expected number ≥ 0, got .inf"),
        ("model.r1=3,", "model.r1: expected number ≥ 0, got 3,; write 3"),
        ("model.r1=", "model.r1= has no value"),
        ("model.latent=-0.5", "model.latent: expected number ≥ 0, got -0.5"),
        ("model.latent_dim=0", "model.latent_dim: expected whole number from 1 to 65,536, got 0"),
        ("model.latent_dim=1e3", "got 1e3; write 1000"),
        ("model.latent_dim=" + "9" * 5000, "model.latent_dim: expected whole number"),
        (
            "ema.warmup=None",
            "expected number > 0 and ≤ 1 or null, got None; write null",
        ),
        ("ema.warmup=true", "ema.warmup: expected number > 0 and ≤ 1 or null, got true"),
        ("ema.warmup=[]", "ema.warmup: expected number > 0 and ≤ 1 or null, got []"),
        ("ema.decay=1", "ema.decay: expected number ≥ 0 and < 1, got 1"),
        ("optimizer.lr=-1", "optimizer.lr: expected number ≥ 0, got -1"),
        ("optimizer.lr=.nan", "optimizer.lr: expected number ≥ 0, got .nan"),
        ("optimizer.lr=0,001", "got 0,001; write 0.001"),
        ("optimizer.betas=0.5,0.9", "got 0.5,0.9; write [0.5,0.9]"),
        ("optimizer.betas=[0.5,1.9]", "expected list of 2 numbers ≥ 0 and < 1, got [0.5,1.9]"),
        ("model.optimizer.weight_decay=-1", "optimizer.weight_decay: expected number ≥ 0"),
        ("discriminator_optimizer.lr=-1", "discriminator_optimizer.lr: expected number ≥ 0"),
        ("model.prior.start=-1", "model.prior.start: expected number > 0, got -1"),
        ("model.generator.channels=0", "model.generator.channels: expected whole number from 1"),
        (
            "data.batch_size=1000000000",
            "data.batch_size: expected whole number from 1 to",
        ),
        (
            "pictures.samples=1000000000000",
            "pictures.samples: expected whole number from 1 to",
        ),
        ("checkpoint.mode=minimum", "checkpoint.mode: expected one of min, max, got minimum"),
        ("checkpoint.every=0", "checkpoint.every: expected whole number ≥ 1, got 0"),
        ("trainer.devices=abc", "trainer.devices: expected auto, a number of processes ≥ 1"),
        ("trainer.devices=0", "trainer.devices: expected auto, a number of processes ≥ 1"),
        ("trainer.devices=[]", "trainer.devices: expected auto, a number of processes ≥ 1"),
        ("trainer.val_check_interval=0", "trainer.val_check_interval: expected whole number ≥ 1"),
        ("trainer.max_steps=many", "trainer.max_steps: expected whole number ≥ -1, got many"),
        ("trainer.max_time=5h", "trainer.max_time: expected days:hours:minutes:seconds"),
        ("trainer.limit_val_batches=1.5", "trainer.limit_val_batches: expected whole number ≥ 0"),
        ("trainer.strategy=ddp", "trainer.strategy: expected one of auto, gan_ddp, got ddp"),
        ("trainer.default_root_dir=/x", "trainer.default_root_dir is not used"),
        ("seed_everything=1e20", "seed_everything: expected whole number from 0 to 4,294,967,295"),
        ("seed_everything=-1", "seed_everything: expected whole number from 0"),
        ("seed_everything=1.5", "or true to draw one, got 1.5"),
        ("max_time=00:00:05:00", "option 'max_time' (did you mean 'trainer.max_time'?)"),
        ("max_stps=5", "option 'max_stps' (did you mean 'trainer.max_steps'?)"),
        ("optimzer.lr=1", "there is no option 'optimzer.lr' (did you mean 'optimizer.lr'?)"),
        ("trainer.max_stps=1", "no option 'trainer.max_stps' (did you mean 'trainer.max_steps'?)"),
        ("model.latnt_dim=1", "no option 'model.latnt_dim' (did you mean 'model.latent_dim'?)"),
        (
            "optimizer.beta=1",
            "there is no option 'optimizer.beta' (did you mean 'optimizer.betas'?)",
        ),
        ("\u2013\u2013model.r1=3", "begins with a typographic dash: write model.r1=3"),
        (
            "data.root=\u201cx\u201d",
            "are part of what was typed: write data.root=x",
        ),
        ("data.root='x'", "write data.root=x"),
        ("=3", "'=3' has no key: write key=value without spaces"),
        ("model.r1:3", "expected key=value, got 'model.r1:3': write model.r1=3"),
    ],
)
def test_a_wrong_word_is_answered_at_once(word: str, message: str) -> None:
    assert message in refusal("model=dlsgan", word)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model=DLSGAN", "there is no model 'DLSGAN' (did you mean 'dlsgan'?)"),
        ("model=dlsgan.yaml", "there is no config file dlsgan.yaml here; write model=dlsgan"),
        ("model=dlsgan,", "there is no model 'dlsgan,' (did you mean 'dlsgan'?)"),
        (r"model=configs\model\gan", "there is no model"),
        ("modle=dlsgan", "no group or option 'modle' (did you mean 'model'?)"),
    ],
)
def test_a_wrong_name_is_answered_at_once(word: str, message: str) -> None:
    assert message in refusal(word)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("ema=null", "there is no group or option 'ema';"),
        ("resolution=16", "(did you mean 'data.resolution'?)"),
    ],
)
def test_a_wrong_name_beside_data_that_name_a_folder_is_answered(word: str, message: str) -> None:
    assert message in refusal("model=gan", "data=folder", word)


@pytest.mark.parametrize(
    "words",
    [
        ["ema.warmup=null"],
        ["optimizer.lr=1e-3"],
        ["model.r1=0"],
        ["trainer.devices=0,1"],
        ["trainer.devices=-1"],
        ["trainer.val_check_interval=0.5"],
        ["trainer.max_time=00:12:00:00"],
        ["trainer.limit_val_batches=1"],
        ["trainer.fast_dev_run=true"],
        ["trainer.accelerator=my.Accelerator"],
        ["model.generator=my.Network", "model.generator.anything=-1"],
        ["model.optimizer=torch.optim.SGD", "optimizer.momentum=0.9"],
        ["data=gaussians", "data.weights=[0.1,0.2,0.3,0.4]"],
        ["--trainer.max_steps", "5"],
        ["--trainer.callbacks+=my.Callback"],
    ],
)
def test_what_is_right_or_not_known_is_passed(words: list[str]) -> None:
    parse("model=dlsgan", *words)


CONFIG_FILES = {
    "tab": (b"trainer:\n\tmax_steps: 3\n", "line 2 begins with a tab; indent it with spaces"),
    "duplicate": (b"ema:\n  decay: 0\n  decay: 0.1\n", "duplicate key 'decay' in line 3"),
    "empty": (b"", "is empty: it sets nothing"),
    "comment": (b"# nothing\n", "is empty: it sets nothing"),
    "list": (b"- trainer\n", "expected sections such as 'model:', got ['trainer']"),
    "dotted": (b"trainer.max_steps: 3\n", "unknown section 'trainer.max_steps'"),
    "unindented": (b"trainer:\nmax_steps: 3\n", "unknown section 'max_steps'"),
    "utf16": ("ema: 3\n".encode("utf-16"), "not UTF-8 text; save it as UTF-8"),
    "equals": (b"trainer:\n  max_steps = 3\n", "below 'trainer:', got max_steps = 3"),
    "no space": (b"trainer:\n  max_steps:3\n", "below 'trainer:', got max_steps:3"),
    "nothing below": (b"trainer:\n", "below 'trainer:', got nothing"),
    "section": (b"trianer:\n  max_steps: 3\n", "(did you mean 'trainer'?)"),
    "key": (b"trainer:\n  max_stps: 3\n", "(did you mean 'max_steps'?)"),
    "quotes": ("trainer:\n  max_steps: \u201c3\u201d\n".encode(), "got \u201c3\u201d (in "),
    "comma": (b"trainer:\n  max_steps: 3,\n", "got 3,; write 3 (in "),
    "boolean": (b"checkpoint:\n  monitor: off\n", "expected text, got false; put quotes"),
    "no number": (b"ema:\n  decay: no\n", "ema.decay: expected number ≥ 0 and < 1, got False"),
    "seed": (b"seed_everything: -3\n", "seed_everything: expected whole number from 0"),
    "python": (b"ema: !!python/object:os.system {}\n", "could not determine a constructor"),
    "two documents": (b"---\nema: {}\n---\nema: {}\n", "expected a single document"),
}


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_a_mistake_in_a_config_file_is_one_line_with_its_name(name: str, tmp_path: Path) -> None:
    content, message = CONFIG_FILES[name]
    (tmp_path / "own.yaml").write_bytes(content)
    found = refusal("model=gan", "--config=own.yaml")
    assert "own.yaml" in found
    assert message in found


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftrainer:\r\n  max_steps: 3\r\n",
        b"trainer:\n  max_steps: &steps 3\n  min_steps: *steps\n",
        b'{"trainer": {"max_steps": 3}}',
        b"ema:\n  decay: 1e-3\n",
    ],
    ids=["byte order mark", "anchor", "JSON", "exponent"],
)
def test_a_config_file_of_another_editor_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    assert "--config=own.yaml" in parse("model=gan", "--config=own.yaml").options


def test_a_number_in_scientific_notation_is_a_number_as_for_jsonargparse() -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--x", type=float)
    for text in ("1e-3", "1E5", "-2e+3", "1.5e3", "1.5e-3", "3", "1_000.0"):
        assert parse_value(text) == parser.parse_args([f"--x={text}"]).x, text


def test_a_key_given_twice_is_noted_and_the_last_value_counts() -> None:
    command = parse("model=gan", "model.r1=1", "--model.r1=2", "ema.decay=0", "ema.decay=0")
    assert command.notes == ("model.r1 is given twice; 2 counts, not 1",)
    assert [o for o in command.options if "r1" in o][-1] == "--model.r1=2"


def drawn(words: Sequence[str]) -> int:
    (option,) = (o for o in parse(*words).options if o.startswith("--seed_everything="))
    return int(option.partition("=")[2])


def test_a_seed_is_drawn_for_each_run_and_is_an_option_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["model=gan", "seed_everything=true"]
    assert len({drawn(words) for _ in range(3)}) == 3
    (tmp_path / "own.yaml").write_text("seed_everything: true\n")
    assert 0 <= drawn(["model=gan", "--config=own.yaml"]) < 2**32
    # the processes of one job agree, those of another differ
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    first = drawn(words)
    assert drawn(words) == first
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert drawn(words) != first
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("PL_GLOBAL_SEED", "12")
    assert drawn(words) == 12


def test_every_scalar_option_of_the_trainer_has_a_known_type() -> None:
    read = trainer_parameters()
    assert list(read) == list(inspect.signature(Trainer).parameters)
    assert TRAINER.keys() <= read.keys()
    own_types = {"callbacks", "logger", "plugins", "profiler", "precision", "max_time"}
    own_types |= {"accelerator", "strategy", "devices", "val_check_interval", "deterministic"}
    for name, parameter in read.items():
        hint = TRAINER.get(name, parameter.hint)
        if name not in own_types | {"default_root_dir"}:
            assert not is_unknown(hint), name
            assert hint is not Unknown


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("invert", ["restarts=0"], "restarts: expected whole number ≥ 1, got 0"),
        ("invert", ["weight=-1"], "weight: expected number ≥ 0 or typical, got -1"),
        ("invert", ["lr=nan"], "lr: expected number > 0, got nan"),
        ("invert", ["steps=1e2"], "steps: expected whole number ≥ 1, got 1e2; write 100"),
        ("ood score", ["false_alarms=2"], "false_alarms: expected number between 0 and 1, got 2"),
        ("ood table", ["seed=1e20"], "seed: expected whole number from 0 to 4,294,967,295"),
        ("app", ["port=99999"], "port: expected whole number from 1 to 65,535, got 99999"),
    ],
)
def test_a_wrong_value_of_a_command_is_answered_at_once(
    command: str, words: list[str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(words, workflows()[command].parameters, GROUPS)
    assert str(caught.value).startswith(message)


def test_help_lists_the_common_options_with_ranges_and_defaults() -> None:
    text = " ".join(full_usage(GROUPS, ["model=dlsgan", "data=gaussians"]).split())
    for part in (
        "model.latent_dim=64 size of the latent (whole number from 1 to 65,536)",
        "data.std=0.3",
        "optimizer.lr=0.003 learning rate (number ≥ 0)",
        "ema.decay=0.999",
        "checkpoint.mode=min",
        "trainer.max_steps=20000",
        "fit --help lists every option",
    ):
        assert part in text, part


def test_wrong_values_are_answered_before_torch_is_imported() -> None:
    code = (
        "import sys\n"
        "from lightning_gans.cli import main\n"
        "for word in ('model.r1=-1', 'trainer.devices=abc', 'trainer.max_stps=3'):\n"
        "    try:\n        main(['model=gan', word])\n"
        "    except SystemExit as end:\n        print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"] * 3
    assert done.stderr.count("\n") == 3


def test_the_syntax_tree_of_every_annotation_can_be_read() -> None:
    for parameter in trainer_parameters().values():
        ast.parse(parameter.annotation, mode="eval")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model=dlsgan", "data.resolution=50"],
            "data.resolution=50: ConvGenerator takes images with a side of 16, 32, 64, 128, 256; ",
        ),
        (["model=dlsgan", "data.resolution=300"], "=300: SkipGenerator takes images with a side"),
        (["model=dlsgan", "data.resolution=512"], "=512: ConvDiscriminator takes images with a"),
        (["model=dlsgan", "data.resolution=32", "model.generator=DCGANGenerator"], ""),
        (["model=dlsgan", "data.resolution=48", "model.generator=DCGANGenerator"], "=48: DCGAN"),
        (["model=dlsgan", "data.resolution=64"], ""),
        # of networks of one's own, nothing is known
        (
            [
                "model=dlsgan",
                "data.resolution=50",
                "model.generator=mine.Generator",
                "model.discriminator=mine.Discriminator",
            ],
            "",
        ),
    ],
)
def test_a_resolution_that_the_networks_do_not_have_is_answered_at_once(
    words: list[str], message: str
) -> None:
    words = [*words, "data=folder", "data.root=photos"]
    if message:
        assert message in refusal(*words)
    else:
        parse(*words)


def test_the_sides_of_networks_are_those_that_their_constructors_take() -> None:
    found = [name for name in networks.__all__ if sides_of(f"lightning_gans.networks.{name}")]
    assert len(found) >= 10
    for name in found:
        network = getattr(networks, name)
        known = inspect.signature(network).parameters
        given = {"latent_dim": 4, "classes": (3,), "image_shape": (1, 50, 50)}
        with pytest.raises(ValueError, match="image_shape must be") as refused:
            network(**{key: value for key, value in given.items() if key in known})
        expected = ", ".join(map(str, sides_of(f"lightning_gans.networks.{name}") or ()))
        assert f"with a side of {expected}; got" in str(refused.value)


@pytest.mark.parametrize("command", ["train", "validate"])
def test_a_folder_of_images_that_does_not_exist_is_the_first_thing_said(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.yaml").write_text(
        "data:\n  class_path: lightning_gans.data.Folder\n  init_args:\n    root: photo\n"
        "    resolution: 64\n"
    )
    monkeypatch.setitem(sys.modules, "lightning_gans.cli.lightning", None)  # is not imported
    for words in (
        ["data=folder", "data.root=photo", "data.resolution=64"],
        ["data=folder", "data.root=photo/", "data.root=photo"],
        ["data=mine.yaml"],
        [f"data.root={tmp_path}/photo", "data.resolution=64", "data=folder"],
    ):
        with pytest.raises(SystemExit) as end:
            main([command, "model=dlsgan", *words])
        assert end.value.code == 1
        first, *others = capsys.readouterr().err.splitlines()
        assert first.startswith(f"error: no folder {tmp_path}/photo (did you mean '")
        assert "photos'?); put the images there, or set data.root" in first
        assert not others
    (tmp_path / "photo").mkdir()
    with pytest.raises(ImportError):
        main([command, "model=dlsgan", "data=folder", "data.root=photo"])


def test_a_screen_of_a_notebook_does_not_reach_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://no_such_package.backend_inline")
    seen = []

    def record() -> list[str]:
        import os

        seen.append(os.environ["MPLBACKEND"])
        return []

    from lightning_gans import cli

    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "matplotlib", raising=False)
        with cli.drawing_off_screen():
            record()
    import os

    assert seen == ["agg"]
    assert os.environ["MPLBACKEND"] == "module://no_such_package.backend_inline"


def test_one_line_for_help_of_a_model_that_does_not_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["train", "model=nosuch", "--help"])
    assert end.value.code == 2
    assert "there is no model 'nosuch'" in capsys.readouterr().err
