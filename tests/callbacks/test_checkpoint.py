"""Checkpoints on every way out: nothing good is lost, and what is saved is whole."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.models import NonFiniteLoss
from lightning_gans.runs.claim import FolderInUse, read_record, release
from tests.support.training import data, points, trainer


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


class At(Callback):
    """Does something within one iteration, between the players' turns."""

    def __init__(self, iteration: int, action: Any) -> None:
        self.iteration, self.action = iteration, action

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        generators = optimizer is trainer.optimizers[1]
        if generators and trainer.global_step + 1 == self.iteration:
            self.iteration = -1
            self.action(pl_module)


def test_weights_that_are_no_numbers_do_not_replace_the_last_good_ones(tmp_path: Path) -> None:
    def spoil(model: LightningModule) -> None:
        with torch.no_grad():
            next(iter(model.discriminator.parameters())).fill_(torch.nan)  # type: ignore[union-attr]

    with pytest.raises(NonFiniteLoss, match="in iteration 8"):
        trainer(tmp_path, EMA(), At(7, spoil), Checkpoint(every=5), max_steps=20).fit(
            points(), data()
        )
    assert names(tmp_path) == {"last-step=5.ckpt", "failed-step=7.ckpt"}


def test_an_error_within_an_iteration_is_no_last_checkpoint(tmp_path: Path) -> None:
    def fail(model: LightningModule) -> None:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        trainer(tmp_path, At(7, fail), Checkpoint(every=5), max_steps=20).fit(points(), data())
    assert names(tmp_path) == {"last-step=5.ckpt", "failed-step=6.ckpt"}


def test_an_interrupt_waits_for_the_iterations_end_and_is_exact(tmp_path: Path) -> None:
    def interrupt(model: LightningModule) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    whole = points()
    trainer(tmp_path / "whole", EMA(), Checkpoint(), max_steps=12).fit(whole, data())
    with pytest.raises(SystemExit):
        trainer(tmp_path / "cut", EMA(), At(7, interrupt), Checkpoint(), max_steps=12).fit(
            points(), data()
        )
    signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored, about to exit
    assert names(tmp_path / "cut") == {"last-step=7.ckpt"}
    again = points(seed=5)
    trainer(tmp_path / "cut", EMA(), Checkpoint(), max_steps=12).fit(
        again, data(), ckpt_path=tmp_path / "cut" / "checkpoints" / "last-step=7.ckpt"
    )
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_resume_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    trainer(tmp_path, EMA(), Checkpoint(), max_steps=25).fit(points(), data())
    path = tmp_path / "checkpoints" / "last-step=25.ckpt"
    content = path.read_bytes()
    with pytest.raises(MisconfigurationException, match="max_epochs"):
        trainer(tmp_path, EMA(), Checkpoint(), max_epochs=1).fit(points(), data(), ckpt_path=path)
    assert path.read_bytes() == content


def test_another_runs_checkpoints_are_not_touched(tmp_path: Path) -> None:
    trainer(tmp_path, Checkpoint(), max_steps=9).fit(points(), data())
    with pytest.raises(FolderInUse, match="holds the checkpoints of another run"):
        trainer(tmp_path, Checkpoint(), max_steps=3).fit(points(), data())
    assert names(tmp_path) == {"last-step=9.ckpt"}


def test_going_on_replaces_its_own_files_only(tmp_path: Path) -> None:
    trainer(tmp_path, Checkpoint(every=5), max_steps=5).fit(points(), data())
    others = {"last-step=99.ckpt", "last-step=99.ood.safetensors", "last-step=4.ood.safetensors"}
    # the scores of held-out images lie beside their checkpoints
    for name in (*others, "last-step=5.ood.safetensors"):
        (tmp_path / "checkpoints" / name).write_text("somebody else's")
    trainer(tmp_path, Checkpoint(every=5), max_steps=11).fit(
        points(), data(), ckpt_path=tmp_path / "checkpoints" / "last-step=5.ckpt"
    )
    # the two newest of its own, and what is not its own
    assert names(tmp_path) == {"last-step=10.ckpt", "last-step=11.ckpt", *others}


def test_a_new_best_takes_the_scores_of_the_old_one_away(tmp_path: Path) -> None:
    class Falling(Checkpoint):
        def monitored(self, trainer: Trainer) -> float:
            return -trainer.global_step

        def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
            super().on_train_batch_start(trainer, *args, **kwargs)
            for path in (tmp_path / "checkpoints").glob("*.ckpt"):
                path.with_suffix(".ood.safetensors").touch()

    trainer(tmp_path, Falling(every=4), max_steps=22).fit(points(), data())
    assert names(tmp_path) == {
        *("best-step=20.ckpt", "best-step=20.ood.safetensors"),
        *("last-step=20.ckpt", "last-step=20.ood.safetensors", "last-step=22.ckpt"),
    }


def test_a_lower_rate_can_be_given_when_going_on(tmp_path: Path) -> None:
    trainer(tmp_path, Checkpoint(), max_steps=5).fit(points(), data())
    model = points()
    model._optimizers = (lambda p: torch.optim.AdamW(p, lr=1e-9),) * 2
    runner = trainer(tmp_path, Checkpoint(), max_steps=6)
    runner.fit(model, data(), ckpt_path=tmp_path / "checkpoints" / "last-step=5.ckpt")
    assert {group["lr"] for o in runner.optimizers for group in o.param_groups} == {1e-9}
    saved = torch.load(tmp_path / "checkpoints" / "last-step=6.ckpt", weights_only=True)
    assert saved["optimizer_states"][0]["state"][0]["step"] == 6  # the moments were kept


def test_lightning_20947_no_checkpoints_are_saved_but_our_own(tmp_path: Path) -> None:
    """Lightning's, there by default, looks into models whose optimisers are stepped by hand."""
    runner = trainer(tmp_path, Checkpoint(every=2), max_steps=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        runner.fit(points(), data())
    assert not [warning for warning in caught if "saved_models" in str(warning.message)]
    assert [type(found) for found in runner.checkpoint_callbacks] == [Checkpoint]
    assert names(tmp_path) == {"last-step=4.ckpt", "last-step=5.ckpt"}


def test_averages_of_one_model_are_not_another_ones(tmp_path: Path) -> None:
    ema = EMA(0.5, warmup=None)
    trainer(tmp_path / "first", ema, Checkpoint(), max_steps=5).fit(points(), data())
    second, alone = points(seed=8), EMA(0.5, warmup=None)
    trainer(tmp_path / "second", ema, Checkpoint(), max_steps=5).fit(second, data())
    trainer(tmp_path / "alone", alone, Checkpoint(), max_steps=5).fit(points(seed=8), data())
    for name, value in alone.average.items():
        assert torch.equal(ema.average[name], value)


def test_a_checkpoint_from_another_kind_of_device_goes_on(tmp_path: Path) -> None:
    """A generator's state there has another size; the latents continue on a stream of their own."""
    trainer(tmp_path, Checkpoint(), max_steps=5).fit(points(), data())
    path = tmp_path / "checkpoints" / "last-step=5.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["random"] = [{"device": "cuda", "own": torch.zeros(16, dtype=torch.uint8)}]
    torch.save(saved, path)
    model = points()
    runner = trainer(tmp_path, Checkpoint(), max_steps=7)
    with pytest.warns(UserWarning, match=r"1 process\(es\) on cpu, after 1 on cuda"):
        runner.fit(model, data(), ckpt_path=path)
    assert runner.global_step == 7


@pytest.mark.parametrize(("count", "shown"), [(1, "Fast 1"), (4, "4 x Fast 1")])
def test_the_record_of_a_run_names_its_gpu(
    count: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = SimpleNamespace(
        default_root_dir=str(tmp_path),
        is_global_zero=True,
        world_size=count,
        strategy=SimpleNamespace(root_device=torch.device("cuda", 1)),
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Fast {device.index}")
    Checkpoint().on_fit_start(cast(Trainer, runner), points())
    record = read_record(tmp_path)
    assert record is not None
    assert record.environment["GPU"] == shown
    assert record.environment["torch"]
    release(tmp_path)
