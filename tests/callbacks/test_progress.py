"""What a run tells in a terminal and elsewhere, and how often."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from lightning_gans import status_line
from lightning_gans.augmentation import DiffAugment
from lightning_gans.callbacks import progress
from lightning_gans.callbacks.progress import Progress, Rate, advice, iterations_of
from lightning_gans.data import Folder, Gaussians
from lightning_gans.models import DLSGAN, GAN
from tests.support.models import tiny_dlsgan
from tests.support.pictures import draw
from tests.support.rounds import SHAPE, TinyDiscriminator, TinyGenerator
from tests.support.terminal import Terminal
from tests.support.training import data, points, trainer


class Clock:
    """A clock that moves by a step whenever it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock(0.0)
    monkeypatch.setattr(progress, "time", found)
    monkeypatch.setattr(status_line, "time", found)
    monkeypatch.setenv("TERM", "xterm")
    return found


def test_a_log_file_tells_what_runs_then_a_line_now_and_then(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step = 1.0
    options: dict[str, object] = {"enable_progress_bar": True, "val_check_interval": 50}
    options["max_epochs"] = -1
    options["check_val_every_n_epoch"] = None
    trainer(tmp_path, Progress(), max_steps=100, **options).fit(points(), data())
    out, err = capsys.readouterr()
    assert not out
    assert "\r" not in err
    lines = err.splitlines()
    assert lines[0] == f"run: {tmp_path}"
    assert lines[1].startswith("model: DLSGAN, ")
    assert lines[2] == "data: gaussians, 80 for training, 16 for validation, batches of 8"
    told = [line for line in lines if line.startswith("iteration ")]
    assert 10 <= len(told) <= 25
    assert " of 100, " in told[0]
    assert " images/s, " in told[0]
    assert " left, discriminator " in told[0]
    assert ", generator " in told[0]
    assert [line for line in lines if line.startswith("evaluation at iteration 50")]
    assert len(lines) == len(set(lines))


def test_only_the_first_process_tells(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.step, told = 60.0, Progress()
    told.disable()
    trainer(tmp_path, told, max_steps=3, enable_progress_bar=True).fit(points(), data())
    assert not capsys.readouterr().err


@pytest.mark.parametrize("epoch", [1, 10, 1000])
def test_a_terminal_is_redrawn_ten_times_a_second_however_short_an_epoch_is(
    epoch: int, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning draws twice in each iteration."""
    terminal = Terminal(120)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    clock.step = 0.01
    points_of_an_epoch = Gaussians(train=8 * epoch, validation=16, batch_size=8)
    options = {"max_epochs": -1, "enable_progress_bar": True, "limit_val_batches": 0}
    trainer(tmp_path, Progress(), max_steps=100, **options).fit(points(), points_of_an_epoch)
    drawn = terminal.text().count("\riteration ")
    # the clock is read once an iteration and some times for each drawing
    assert 8 <= drawn <= 16


def test_a_log_message_is_above_the_line_and_streams_are_as_before(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(120)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    handler = logging.StreamHandler(terminal.stream)
    log = logging.getLogger("lightning.pytorch")
    monkeypatch.setattr(log, "handlers", [handler])
    told = Progress()
    runner = trainer(tmp_path, told, max_steps=3, enable_progress_bar=True)
    told.setup(runner, points(), "fit")
    told.line.show(["iteration 1 of 3"])
    log.warning("something happened")
    told.teardown(runner, points(), "fit")
    assert terminal.screen() == ["something happened", ""]
    assert handler.stream is terminal.stream
    assert sys.stderr is terminal.stream


def test_an_error_leaves_no_line_and_the_streams_as_they_were(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(120)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    clock.step = 1.0
    model = points()

    def fail(*_: object) -> None:
        if model.trainer.global_step == 2:
            raise RuntimeError("broken")

    monkeypatch.setattr(model, "on_train_batch_start", fail)
    with pytest.raises(RuntimeError, match="broken"):
        trainer(tmp_path, Progress(), max_steps=3, enable_progress_bar=True).fit(model, data())
    assert sys.stderr is terminal.stream
    assert terminal.screen()[-1] == ""


def test_time_left_counts_the_evaluations_that_are_due(tmp_path: Path, clock: Clock) -> None:
    told = Progress()
    told.measuring = 30.0
    runner = trainer(tmp_path, told, max_steps=100, enable_progress_bar=True)
    runner.val_check_batch = 25
    assert told.left(runner, 40, 100, rate=2.0) == 60 / 2 + 3 * 30
    runner.val_check_batch = float("inf")
    assert told.left(runner, 40, 100, rate=2.0) == 60 / 2
    assert told.left(runner, 40, None, rate=2.0) is None


def test_a_rate_leaves_out_evaluations_and_forgets_what_was_long_ago(clock: Clock) -> None:
    rate = Rate()
    rate.start(0)
    clock.now = 10.0
    rate.skip(5.0)
    assert rate.at(10) == 2.0
    for second in range(11, 200):
        clock.now = float(second)
        found = rate.at(10 + 7 * (second - 10))
    assert found == pytest.approx(7.0)


def run_at(step: int, **known: Any) -> Any:
    """What a trainer says of its run of 100 iterations, after some of them."""
    of_run = {
        "global_step": step,
        "is_global_zero": True,
        "max_steps": 100,
        "world_size": 1,
        "val_check_batch": 1000,
        "callbacks": [],
        "progress_bar_metrics": {},
        "callback_metrics": {},
        "sanity_checking": False,
        "num_sanity_val_batches": [3],
        "num_val_batches": [5, 6],
        "state": SimpleNamespace(fn="fit"),
    }
    return SimpleNamespace(**{**of_run, **known})


def test_images_a_second_are_those_of_all_processes(clock: Clock) -> None:
    told, model = Progress(), LightningModule()
    told.on_train_start(run_at(0), model)
    clock.now = 4.0
    told.batch = (torch.zeros(8, 2), torch.zeros(8))
    line = list(told.describe(run_at(20, world_size=3)))
    assert line[:3] == ["iteration 20 of 100", "120 images/s", "16 s left"]


def test_the_rate_of_a_resumed_run_counts_no_earlier_iterations(clock: Clock) -> None:
    told, model = Progress(), LightningModule()
    told.on_train_start(run_at(90), model)
    clock.now = 2.0
    assert list(told.describe(run_at(94)))[:3] == [
        "iteration 94 of 100",
        "2 iterations/s",
        "3 s left",
    ]


def test_an_evaluation_does_not_lower_the_rate_and_its_values_follow(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    told, model = Progress(), LightningModule()
    told.on_train_start(run_at(0), model)
    clock.now = 10.0
    told.on_validation_start(run_at(20), model)
    clock.now = 40.0
    names = ("psnr/fake", "psnr/real", "ssim/real", "latent/loss", "fid/digits")
    found = {name: torch.tensor(float(index)) for index, name in enumerate(names)}
    told.on_validation_end(run_at(20, callback_metrics=found), model)
    clock.now = 50.0
    line = list(told.describe(run_at(40)))
    assert line == [
        "iteration 40 of 100",
        "2 iterations/s",
        "30 s left",
        "fid/digits 4 at 20",
        "psnr/real 1 at 20",
    ]
    error = capsys.readouterr().err
    assert error == "evaluation at iteration 20, fid/digits 4, psnr/real 1, in 30 s\n"


@pytest.mark.parametrize("sanity", [False, True])
def test_a_long_evaluation_tells_its_batches_and_a_check_before_training_no_more(
    sanity: bool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(120)
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    told, model = Progress(), LightningModule()
    told.setup(run_at(0), model, "fit")
    clock.now = 60.0
    told.on_validation_batch_end(run_at(0, sanity_checking=sanity), model, None, None, 0)
    of = 3 if sanity else 11
    assert terminal.screen() == [f"iteration 0 of 100, evaluation: batch 1 of {of}"]
    told.on_validation_end(run_at(0, sanity_checking=sanity), model)
    told.teardown(run_at(0), model, "fit")
    drawn = terminal.text().count("\riteration")
    assert drawn == (1 if sanity else 2), "training goes on below its own line"


def test_only_the_first_process_tells_of_an_evaluation(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    told, model = Progress(), LightningModule()
    told.disable()
    told.on_validation_start(run_at(20), model)
    told.on_validation_end(run_at(20), model)
    assert not capsys.readouterr().err


def test_a_run_with_a_time_ends_when_the_first_limit_is_reached(clock: Clock) -> None:
    told = Progress()
    for duration, expected in ((timedelta(seconds=20), 20.0), (timedelta(hours=1), 30.0)):
        timer = Timer(duration)
        assert told.left(run_at(40, callbacks=[timer]), 40, 100, rate=2.0) == expected
        assert (
            told.left(run_at(40, callbacks=[timer]), 40, None, rate=0.0) == duration.total_seconds()
        )


def test_a_run_that_max_time_will_end_does_not_tell_of_iterations_that_it_cannot_reach(
    clock: Clock,
) -> None:
    told, model = Progress(), LightningModule()
    told.on_train_start(run_at(0), model)
    clock.now = 10.0
    for seconds, first, left in (
        (20, "iteration 20", "20 s left"),
        (3600, "iteration 20 of 100", "40 s left"),
    ):
        timer = [Timer(timedelta(seconds=seconds))]
        line = list(told.describe(run_at(20, callbacks=timer)))
        assert (line[0], line[-1]) == (first, left)
    # also before the first iterations have told how fast it is
    assert next(Progress().describe(run_at(0, callbacks=timer))) == "iteration 0"


def test_a_run_of_epochs_knows_its_iterations(tmp_path: Path) -> None:
    runner = trainer(tmp_path, Progress(), max_epochs=2, enable_progress_bar=True)
    runner.fit(points(), data())
    assert iterations_of(runner) == 20
    assert iterations_of(Trainer(max_epochs=-1, logger=False, enable_checkpointing=False)) is None


def test_an_iteration_that_draws_nothing_costs_less_than_a_tenth_of_a_millisecond(
    tmp_path: Path,
) -> None:
    told, model = Progress(), points()
    runner = trainer(tmp_path, told, max_steps=1, enable_progress_bar=True)
    told.line.wait = 1000.0
    began = time.process_time()
    for _ in range(1000):
        told.on_train_batch_end(runner, model, None, None, 0)
    assert time.process_time() - began < 0.1


def advised(folder: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> int:
    """How often a run on a folder of images advises augmentation."""
    images = Folder(str(folder / "images"), 4, channels=1, batch_size=8, cache=0.0)
    model = tiny_dlsgan(**options)
    runner = trainer(folder, Progress(), max_steps=3, enable_progress_bar=True)
    ckpt = folder / "half.ckpt"
    runner.fit(model, images, ckpt_path=ckpt if ckpt.exists() else None)
    runner.save_checkpoint(ckpt)
    return capsys.readouterr().err.count("advice: 36 images are few")


@pytest.mark.parametrize(
    ("side", "resolution", "said"),
    [
        (20, 32, "advice: most images are enlarged, from 20 to 32 pixels; data.resolution=16 does"),
        (32, 32, None),
        (40, 32, None),
        (3, 4, "advice: most images are enlarged, from 3 to 4 pixels\n"),
    ],
)
def test_small_images_of_ones_own_are_not_enlarged_in_silence(
    side: int, resolution: int, said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "images", 20, side)
    draw(tmp_path / "images" / "large", 9, 2 * resolution)
    images = Folder(str(tmp_path / "images"), resolution, channels=1, batch_size=8, cache=0.0)
    images.setup()
    model = tiny_dlsgan()
    model.trainer = trainer(tmp_path, Progress(), max_steps=1, enable_progress_bar=True)
    lines = "".join(f"{line}\n" for line in advice(model.trainer, model, images))
    assert ("enlarged" in lines) is (said is not None)
    assert said is None or said in lines


def test_the_augmentation_that_is_advised_is_the_one_that_helps_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = Folder(str(draw(tmp_path / "images", 40, 4)), 4, channels=1, batch_size=8, cache=0.0)
    images.setup()
    said = {}
    for model in (tiny_dlsgan(), GAN(SHAPE, 3, TinyGenerator, TinyDiscriminator)):
        model.trainer = trainer(tmp_path, Progress(), max_steps=1, enable_progress_bar=True)
        (said[type(model)],) = advice(model.trainer, model, images)
    assert "; model.augmentation=DiffAugment helps against it (docs/own_images.md" in said[GAN]
    shifts = "DiffAugment model.augmentation.color=0 model.augmentation.cutout=0 helps"
    assert shifts in said[DLSGAN], "with the whole policy, reconstructions become worse"
    monkeypatch.setattr(progress, "FEW_TO_ENCODERS", 36)
    told = {}
    for model in (tiny_dlsgan(), GAN(SHAPE, 3, TinyGenerator, TinyDiscriminator)):
        model.trainer = trainer(tmp_path, Progress(), max_steps=1, enable_progress_bar=True)
        told[type(model)] = [*advice(model.trainer, model, images)]
    assert told == {DLSGAN: [], GAN: [said[GAN]]}, "more images do as well without it"


def test_few_images_of_ones_own_are_advised_once_to_be_augmented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "images", 40, 4)
    assert advised(tmp_path, capsys) == 1
    assert advised(tmp_path, capsys) == 0, "a run that resumes has been advised"
    for folder, options in (("augmented", {"augmentation": DiffAugment}), ("many", {})):
        draw(tmp_path / folder / "images", 40, 4)
        with monkeypatch.context() as patch:
            if folder == "many":
                patch.setattr(Folder, "few", 36)
            assert advised(tmp_path / folder, capsys, **options) == 0, folder
    trainer(tmp_path, Progress(), max_steps=1, enable_progress_bar=True).fit(points(), data())
    assert "advice" not in capsys.readouterr().err
