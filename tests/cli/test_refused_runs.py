"""Settings that only a run can judge: kept to, or refused in one line."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gans.cli import main
from lightning_gans.compat import silence_chatter
from lightning_gans.errors import UserError
from lightning_gans.rng import global_seed
from tests.support.command_line import MLP, only, rows, small


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, int | str | None]:
    """The one line with which a command ends, and its status."""
    with pytest.raises(SystemExit) as end:
        main(list(words))
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    (line,) = (line for line in errors.splitlines() if line.startswith("error: "))
    return line, end.value.code


def test_a_metric_to_monitor_that_is_not_measured_is_refused_before_the_first_iteration(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, status = refusal(capsys, *small(image_folder), "checkpoint.monitor=latent/los")
    assert "checkpoint.monitor=latent/los is not measured (did you mean 'latent/loss'?)" in line
    assert "for this model and data there are latent/active, latent/entropy, latent/loss" in line
    assert status == 1
    assert not list(tmp_path.glob("runs/*/*/*/checkpoints/*.ckpt"))


def test_one_validation_batch_is_one_batch_and_not_all(tmp_path: Path) -> None:
    words = ["model=gan", *MLP, "trainer.max_steps=1", "trainer.limit_val_batches=1"]
    main(words)
    run = only(tmp_path / "runs" / "gan" / "gaussians")
    assert {row["evaluation/samples"] for row in rows(run)} <= {"32.0", "32", ""}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert type(config["trainer"]["limit_val_batches"]) is int


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        (['trainer.max_time={"a": 1}'], "the Trainer refuses its options: TypeError", 1),
        (["trainer.devices=0,0"], "the Trainer refuses its options: TypeError: `devices`", 1),
        (["data.validation=-1"], "data.validation: expected whole number from 1", 2),
    ],
)
def test_what_the_trainer_refuses_is_one_line(
    words: list[str], message: str, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line, status = refusal(capsys, "model=gan", *MLP, *words)
    assert message in line
    assert len(line) < 500
    assert status == expected


def test_networks_that_do_not_fit_into_memory_are_one_line_with_what_to_choose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(layer: torch.nn.Linear) -> None:
        # torch's own words; a real allocation might end the tests instead
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you "
            "tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)"
        )

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", refuse)
    line, status = refusal(capsys, "model=gan", *MLP, "model.generator.width=65536")
    assert "there is not enough memory; choose a smaller data.batch_size, or smaller net" in line
    assert len(line) < 500
    assert status == 1


def test_a_syntax_error_in_ones_own_module_is_one_line_with_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_broken_network.py").write_text("x = 1\n\nclass Mine(:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    line, _ = refusal(capsys, "model=gan", *MLP[:3], "model.generator=my_broken_network.Mine")
    assert "my_broken_network.py, line 3: SyntaxError: " in line
    assert "class Mine(:" in line


def test_results_of_a_test_are_printed_with_four_digits(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(small(image_folder))
    run = only(tmp_path / "runs" / "dlsgan" / "folder")
    capsys.readouterr()
    main(["test", f"ckpt_path={run}"])
    printed = capsys.readouterr().out
    (tested,) = (tmp_path / "runs" / "dlsgan" / "folder").glob("*_test")
    loss = float(rows(tested)[-1]["latent/loss"])
    assert f"| latent/loss ↓ | {loss:.4g} |" in printed
    assert "─" not in printed


def test_advertisements_are_left_out_and_warnings_of_ones_own_are_not() -> None:
    chatter = [
        "You have overridden `on_before_batch_transfer` in `LightningModule` but have passed in",
        "You're resuming from a checkpoint that ended before the epoch ended and your dataloader "
        "is not resumable.",
        "`isinstance(treespec, LeafSpec)` is deprecated, use another",
        "The number of training batches (20) is smaller than the logging interval Trainer(",
        "The 'train_dataloader' does not have many workers which may be a bottleneck.",
    ]
    own = ["the treespec is deprecated", "my dataloader is slow"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_chatter()
        for message in (*chatter, *own):
            warnings.warn(message, UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == own

    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    for message, passes in (
        ("💡 Tip: For seamless cloud logging, try installing litlogger", False),
        ("TPU available: False, using: 0 TPU cores", False),
        ("GPU available: False, used: False", False),
        ("Seed set to 0", False),
        ("Restoring states from the checkpoint path at x.ckpt", False),
        ("`Trainer.fit` stopped: `max_steps=2` reached.", False),
        ("Time limit reached. Elapsed time is 0:00:40. Signaling Trainer to stop.", False),
        ("`Trainer.fit` stopped: No training batches.", True),
        ("Seed set to 0 is not understood", True),
    ):
        record = logging.LogRecord(log.name, logging.INFO, "", 0, message, None, None)
        assert bool(log.filter(record)) is passes


@pytest.mark.parametrize("value", ["abc", "", "-1", "1.5", str(2**32), "1e3"])
def test_a_seed_in_the_environment_that_is_none_is_one_line(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", value)
    with pytest.raises(UserError, match=f"PL_GLOBAL_SEED={value}: expected whole number from 0"):
        global_seed()


def test_modules_of_this_file_are_not_left_behind() -> None:
    assert "my_broken_network" not in sys.modules
