"""Runs that end, are ended by a clock or a person, and are started again, from the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, Trainer

from lightning_gans.cli import main
from lightning_gans.runs.atomic import Unwritable
from lightning_gans.runs.folder import checkpoints, newest
from tests.support.command_line import MLP, ROOT, only, rows

TRAIN = ["model=dlsgan", *MLP, "evaluation.features=null", "trainer.val_check_interval=2"]


def run_of(folder: Path) -> Path:
    return only(folder / "runs" / "dlsgan" / "gaussians")


def with_callback(folder: Path, name: str, **arguments: object) -> str:
    """An option that adds a callback to the run."""
    config = folder / "callback.yaml"
    lines = [f"        {key}: {value}" for key, value in arguments.items()]
    text = "\n".join(["      init_args:", *lines] if lines else [])
    config.write_text(f"trainer:\n  callbacks:\n    - class_path: {name}\n{text}\n")
    return f"--config={config}"


@pytest.mark.figures
def test_going_on_with_a_run_that_had_ended_changes_nothing_and_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*TRAIN, "trainer.max_steps=5"])
    run = run_of(tmp_path)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.suffix in (".csv", ".png")}
    saved = {path.name: path.stat().st_mtime_ns for path in checkpoints(run)}
    capsys.readouterr()
    for _ in range(2):
        main(["ckpt_path=last"])
        said = capsys.readouterr().err
        assert said.count("had already ended after 5 iterations; a trainer.max_steps above 5") == 1
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name: path.stat().st_mtime_ns for path in checkpoints(run)} == saved
    main(["ckpt_path=last", "trainer.max_steps=7"])
    assert [row["step"] for row in rows(run) if row["evaluation/samples"]] == list("024567")
    assert "had already ended" not in capsys.readouterr().err


@pytest.mark.slow
def test_max_time_counts_from_each_start_and_says_that_it_ended_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*TRAIN, "trainer.max_steps=100000", "trainer.max_time=00:00:00:02"])
    path = newest(run_of(tmp_path))
    assert path is not None
    first = int(path.stem.rpartition("=")[2])
    said = capsys.readouterr().err
    assert f"trainer.max_time has ended the run after {first} iterations; ckpt=" in said
    # the command that is advised trains for as long again, with the columns and rows of before
    assert said.splitlines()[-1].split() == ["lightning-gans", "train", f"ckpt={run_of(Path())}"]
    before = (run_of(tmp_path) / "metrics.csv").read_text().splitlines()
    main(["ckpt_path=last", "trainer.max_time=00:00:00:01"])
    after = (run_of(tmp_path) / "metrics.csv").read_text().splitlines()
    assert after[: len(before)] == before
    assert len(after) > len(before)
    path = newest(run_of(tmp_path))
    assert path is not None
    second = int(path.stem.rpartition("=")[2])
    assert second > first
    said = capsys.readouterr().err
    assert f"trainer.max_time has ended the run after {second} iterations; ckpt=" in said
    main(["ckpt_path=last", f"trainer.max_steps={second + 3}"])
    assert newest(run_of(tmp_path)) == path.with_name(f"last-step={second + 3}.ckpt")
    assert f"trainer.max_steps={2 * (second + 3)}" in capsys.readouterr().err


@pytest.mark.slow
def test_tensorboards_steps_do_not_go_back_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    main([*TRAIN, "logger=tensorboard", "trainer.max_steps=4", "checkpoint.every=3"])
    run = run_of(tmp_path)
    # as if the run had been killed after its third iteration
    (run / "checkpoints" / "last-step=4.ckpt").unlink()
    main(["ckpt_path=last", "trainer.max_steps=6"])
    found = EventAccumulator(str(run / "tensorboard")).Reload()
    steps = [event.step for event in found.Scalars("generator/adversarial")]
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_training_with_its_status_and_one_line(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def send() -> None:
        while not list(tmp_path.glob("runs/*/*/*/checkpoints/last-step=*.ckpt")):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit) as end:
        main([*TRAIN, "trainer.max_steps=1000000", "checkpoint.every=3"])
    assert end.value.code == 128 + number
    lines = capfd.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("stopped by")]
    assert len(said) == 1
    name = signal.Signals(number).name
    assert re.match(rf"stopped by {name}; .* resumes from last-step=\d+\.ckpt", said[0])
    assert not any("Traceback" in line for line in lines)
    assert newest(run_of(tmp_path)) is not None


def test_a_run_without_checkpoints_is_what_it_says(tmp_path: Path) -> None:
    main([*TRAIN, "trainer.max_steps=3", "trainer.enable_checkpointing=false"])
    run = run_of(tmp_path)
    assert not (run / "checkpoints").exists()
    assert [row["step"] for row in rows(run) if row["evaluation/samples"]] == ["0", "2", "3"]


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("LearningRateFinder", {}, "take turns, which optimise by hand; choose optimizer.lr"),
        ("BatchSizeFinder", {}, "choose data.batch_size"),
        ("EMAWeightAveraging", {}, "ema.decay and ema.every average the weights"),
        ("EarlyStopping", {"monitor": "fid"}, "metric `fid` which is not available"),
    ],
)
def test_a_callback_that_cannot_work_is_one_line(
    name: str,
    arguments: dict[str, object],
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callback = with_callback(tmp_path, f"lightning.pytorch.callbacks.{name}", **arguments)
    with pytest.raises(SystemExit) as end:
        main([*TRAIN, "trainer.max_steps=3", callback])
    assert end.value.code == 1
    (said,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert line in said


def test_early_stopping_on_what_an_evaluation_measures_works(tmp_path: Path) -> None:
    """The measure does not exist before the first evaluation, and does not fall."""
    arguments = {"monitor": "latent/active", "patience": 2}
    callback = with_callback(tmp_path, "lightning.pytorch.callbacks.EarlyStopping", **arguments)
    main([*TRAIN, "trainer.max_steps=40", callback])
    path = newest(run_of(tmp_path))
    assert path is not None
    assert path.name == "last-step=6.ckpt"


class FullDisk:
    """A disk that is full for checkpoints of some iterations."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
        from lightning_gans.runs import checkpoint_io

        def write(checkpoint: dict[str, Any], path: Path) -> None:
            if checkpoint["global_step"] in steps:
                raise OSError(28, "No space left on device")
            original(checkpoint, path)

        original = checkpoint_io.write
        monkeypatch.setattr(checkpoint_io, "write", write)


def test_a_disk_that_is_full_for_a_while_costs_no_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch, 4)
    message = r"last-step=4\.ckpt could not be written: No space left .*; last-step=2.ckpt is kept"
    with pytest.warns(UserWarning, match=message):
        main([*TRAIN, "trainer.max_steps=6", "checkpoint.every=2"])
    found = [path.name for path in checkpoints(run_of(tmp_path), "last")]
    assert found == ["last-step=2.ckpt", "last-step=6.ckpt"]


def test_a_disk_that_is_full_at_the_end_keeps_the_checkpoints_before_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FullDisk(monkeypatch, 6)
    with pytest.raises(SystemExit) as end:
        main([*TRAIN, "trainer.max_steps=6", "checkpoint.every=2"])
    assert end.value.code == 1
    assert "error: " in (said := capsys.readouterr().err)
    assert "last-step=6.ckpt could not be written: No space left on device; free some" in said
    found = [path.name for path in checkpoints(run_of(tmp_path), "last")]
    assert found == ["last-step=2.ckpt", "last-step=4.ckpt"]
    assert not list(run_of(tmp_path).rglob("*.part"))


class Terminate(Callback):
    """Asks the run to stop in its third iteration."""

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_is_stopped_on_a_full_disk_fails_and_says_that_nothing_was_saved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FullDisk(monkeypatch, *range(10))
    words = [*TRAIN, "trainer.max_steps=9", f"trainer.callbacks={__name__}.Terminate"]
    with (
        pytest.warns(UserWarning, match="no checkpoint was saved before it"),
        pytest.raises(SystemExit) as end,
    ):
        main(words)
    assert end.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert "last-step=3.ckpt could not be written: No space left on device; free some" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("words", [TRAIN, ["invert", "ckpt=x"]], ids=["train", "invert"])
def test_a_signal_while_a_command_starts_is_one_line(
    number: int,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*args: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr("lightning_gans.cli.train.parse_command", interrupted)
    monkeypatch.setattr("lightning_gans.cli.workflow.parse_request", interrupted)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"stopped by {signal.Signals(number).name}\n"


# sends itself Ctrl-C when a module is imported, as far as that is possible before it is
INTERRUPTED = """
import atexit, importlib.abc, os, signal, sys, threading, time
_, when, *words = sys.argv
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == when:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
if when == "the end":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
begun = threading.Event()
def interrupt_later():
    begun.wait()
    time.sleep(float(when))
    os.kill(os.getpid(), signal.SIGINT)
if when[0].isdigit():
    threading.Thread(target=interrupt_later, daemon=True).start()
from lightning_gans.__main__ import main
begun.set()
main(words)
"""
COMMANDS = {
    "train": ["train", *TRAIN],
    "generate": ["generate", "ckpt=nowhere"],
    "compare": ["compare", "a", "b"],
    "help": ["--help"],
}


def interrupted(when: str, command: str, folder: Path) -> subprocess.Popen[str]:
    """A command that gets Ctrl-C at a moment: of an import, or so many seconds after its start."""
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, when, *COMMANDS[command]],
        cwd=folder,
        # other packages open files without an encoding, which the suite's own setting would report
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNDEFAULTENCODING": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("command", "modules"),
    [
        ("train", ["lightning_gans.cli", "yaml", "lightning_gans.cli.workflow"]),
        ("generate", ["dataclasses", "lightning_gans.runs.claim", "torchmetrics"]),
        ("compare", ["filelock", "lightning_gans.cli.errors", "torch"]),
        ("help", ["lightning_gans.cli.grammar", "lightning_gans.scaling", "the end"]),
    ],
)
def test_ctrl_c_while_a_program_is_imported_or_ends_is_one_line(
    command: str, modules: list[str], tmp_path: Path
) -> None:
    started = [interrupted(module, command, tmp_path) for module in modules]
    for module, process in zip(modules, started, strict=True):
        _, said = process.communicate(timeout=120)
        assert (module, process.returncode, said) == (module, 130, "stopped by SIGINT\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["train", "compare"])
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_traceback(
    command: str, tmp_path: Path
) -> None:
    for delays in (("0.003", "0.01", "0.03"), ("0.06", "0.1", "0.2"), ("0.4", "0.8", "1.6")):
        started = {delay: interrupted(delay, command, tmp_path) for delay in delays}
        for delay, process in started.items():
            _, said = process.communicate(timeout=120)
            assert (delay, process.returncode) == (delay, 130), said
            assert "Traceback" not in said
            assert "stopped by SIGINT" in said.splitlines()[-1]


def test_pictures_and_rows_that_cannot_be_written_for_a_while_do_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_gans.callbacks import pictures
    from lightning_gans.runs import metrics_csv

    failing = {"rows": 0}

    def append(file: Path, *rest: Any) -> None:
        failing["rows"] += 1
        if failing["rows"] < 3:
            raise Unwritable(file, OSError(28, "No space left on device"))
        original(file, *rest)

    def refused(path: Path) -> None:
        raise Unwritable(path, OSError(28, "No space left on device"))

    original = metrics_csv.append_rows
    monkeypatch.setattr(metrics_csv, "append_rows", append)
    monkeypatch.setattr(pictures, "replacing", refused)
    with pytest.warns(UserWarning, match="could not be written") as said:
        main([*TRAIN, "trainer.max_steps=6", "checkpoint.every=2"])
    lines = [str(warning.message) for warning in said]
    assert sum("its rows are kept in memory" in line for line in lines) == 1
    assert any("samples-step=2.png could not be written" in line for line in lines)
    trained = [row["step"] for row in rows(run_of(tmp_path)) if row["generator/adversarial"]]
    assert trained == ["1", "2", "3", "4", "5", "6"]


class Send(Callback):
    """Sends a signal in the middle of an evaluation or prediction."""

    def __init__(self, number: int) -> None:
        self.number = number

    def send(self) -> None:
        os.kill(os.getpid(), self.number)

    def on_validation_batch_end(self, *args: Any) -> None:
        self.send()

    def on_test_batch_end(self, *args: Any) -> None:
        self.send()

    def on_predict_batch_end(self, *args: Any) -> None:
        self.send()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_every_other_command_with_its_status_and_one_line(
    number: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main([*TRAIN, "trainer.max_steps=1"])
    callback = with_callback(tmp_path, f"{__name__}.Send", number=int(number))
    before = signal.getsignal(number)
    for command in ("validate", "test", "predict"):
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([command, f"ckpt={run_of(tmp_path)}", f"trust={__name__}", callback])
        signal.signal(number, before)  # Lightning leaves Ctrl-C ignored, as it is about to exit
        lines = capfd.readouterr().err.splitlines()
        assert (command, end.value.code) == (command, 128 + number)
        assert [line for line in lines if line.startswith("stopped by")] == [
            f"stopped by {signal.Signals(number).name}"
        ]
        assert not any("Traceback" in line for line in lines)
