"""Iterations, logs and optimisers of players that take turns."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import Precision
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor

from lightning_gans.callbacks import Checkpoint
from lightning_gans.compat import silence_chatter
from lightning_gans.data import Gaussians, MNIST5k
from lightning_gans.models import DLSGAN, GAN
from lightning_gans.models.base.alternating import Minimize
from lightning_gans.networks import ConvDiscriminator, ConvGenerator, DiscriminatorOutput
from lightning_gans.optimizers import AdamW
from tests.support.training import Watch, data, points, trainer


@pytest.mark.parametrize("model", [GAN, DLSGAN])
def test_lightning_17958_max_steps_logs_and_checkpoints_count_iterations(
    model: type[DLSGAN] | type[GAN], tmp_path: Path
) -> None:
    watch = Watch()
    runner = trainer(tmp_path, watch, Checkpoint(every=3), max_steps=13)
    runner.fit(points(model), data())
    assert len(watch.after) == 13
    assert runner.global_step == 13
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == list(range(1, 14))
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["last-step=12.ckpt", "last-step=13.ckpt"]


def test_lightning_5108_each_players_losses_are_logged_by_names_of_their_own(
    tmp_path: Path,
) -> None:
    trainer(tmp_path, Checkpoint(), max_steps=2).fit(points(), data())
    with (tmp_path / "metrics.csv").open() as file:
        (first, *_) = csv.DictReader(file)
    expected = {"discriminator/adversarial", "discriminator/r1", "discriminator/latent"}
    expected |= {"generator/adversarial", "generator/latent"}
    assert {name for name in first if "/" in name} == expected


def test_weights_stand_in_their_order_in_the_optimizers(tmp_path: Path) -> None:
    """A checkpoint keeps an optimiser's state by position: another order mixes it up."""
    model = points()
    runner = trainer(tmp_path, max_steps=1)
    runner.fit(model, data())
    for optimizer, player in zip(runner.optimizers, model.players, strict=True):
        found = [id(p) for group in optimizer.param_groups for p in group["params"]]
        theirs = player == "discriminator"
        named = model.named_parameters()
        assert found == [id(p) for n, p in named if n.startswith("discriminator.") == theirs]


class Gradients(Callback):
    """Remembers, at each step, which parameters require and have gradients."""

    def __init__(self) -> None:
        self.required: list[set[str]] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: object
    ) -> None:
        self.required.append({n for n, p in pl_module.named_parameters() if p.requires_grad})


def test_a_turn_trains_its_player_alone_and_leaves_all_others_as_they_were(tmp_path: Path) -> None:
    model, seen = points(), Gradients()
    frozen = next(model.generator.parameters())
    frozen.requires_grad_(False)
    trainer(tmp_path, seen, max_steps=2).fit(model, data())
    trained = {n for n, p in model.named_parameters() if p is not frozen}
    discriminator = {n for n in trained if n.startswith("discriminator.")}
    assert seen.required == [discriminator, trained - discriminator] * 2
    assert not frozen.requires_grad
    assert {n for n, p in model.named_parameters() if p.requires_grad} == trained


def test_the_model_s_strategy_s_and_precision_s_own_steps_are_made(tmp_path: Path) -> None:
    calls: list[str] = []

    class Own(DLSGAN):
        def on_before_optimizer_step(self, optimizer: object) -> None:
            calls.append("model")

    class OwnStrategy(SingleDeviceStrategy):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("strategy")
            return super().optimizer_step(*args, **kwargs)

    class OwnPrecision(Precision):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("precision")
            return super().optimizer_step(*args, **kwargs)

    trainer(tmp_path, max_steps=2).fit(points(Own), data())
    assert calls == ["model"] * 4
    trainer(tmp_path, max_steps=2, strategy=OwnStrategy()).fit(points(), data())
    assert calls[4:] == ["strategy"] * 4
    trainer(tmp_path, max_steps=2, plugins=OwnPrecision()).fit(points(), data())
    assert calls[8:] == ["precision"] * 4


class LogsForItself(Callback):
    """Logs the mean of the iterations' numbers, and notes what is known after each iteration."""

    def __init__(self) -> None:
        self.known: list[dict[str, float]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        pl_module.log("mine", float(trainer.global_step), on_step=False, on_epoch=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.known.append({name: float(v) for name, v in trainer.callback_metrics.items()})


def test_what_was_logged_last_stays_known_and_means_over_an_epoch_are_complete(
    tmp_path: Path,
) -> None:
    log = LogsForItself()
    runner = trainer(
        tmp_path, log, max_epochs=1, max_steps=-1, limit_train_batches=4, log_every_n_steps=2
    )
    runner.fit(points(), data())
    first, second, third, fourth = log.known
    assert "generator/adversarial" not in first
    assert second == third
    assert second["generator/adversarial"] != fourth["generator/adversarial"]
    assert float(runner.callback_metrics["mine"]) == 1.5


def test_images_of_a_penalty_get_no_gradient_of_the_loss(tmp_path: Path) -> None:
    """It would be computed through the first layer, which costs as much as the layer itself."""
    model = GAN(
        (1, 32, 32),
        latent_dim=2,
        generator=partial(ConvGenerator, channels=1, hidden=4),
        discriminator=partial(ConvDiscriminator, channels=1, hidden=4),
        optimizer=partial(AdamW, lr=0.01),
    )
    kept: list[Tensor] = []
    draw = model.discriminator.forward

    def forward(x: Tensor) -> DiscriminatorOutput:
        kept.append(x)
        output: DiscriminatorOutput = draw(x)
        return output

    model.discriminator.forward = forward
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(model, MNIST5k(batch_size=8))
    assert kept[0].requires_grad
    assert kept[0].grad is None


class Noted(GAN):
    """Notes what it minimises, and logs a number of its own."""

    noted: ClassVar[list[dict[str, float]]] = []

    @contextmanager
    def turn(self, player: str) -> Iterator[Minimize]:
        with super().turn(player) as minimize:

            def note(**terms: Tensor) -> None:
                minimize(**terms)
                self.noted.append({f"{player}/{name}": t.item() for name, t in terms.items()})
                self.log(f"mine_of_{player}", float(self.global_step), on_step=True, on_epoch=True)

            yield note


def test_each_row_has_the_losses_of_its_iteration_in_each_epoch(tmp_path: Path) -> None:
    Noted.noted.clear()
    options = {"max_epochs": 3, "max_steps": -1, "limit_train_batches": 2}
    trainer(tmp_path, **options).fit(points(Noted), data())
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["discriminator/adversarial"]]
    assert len(rows) == 6
    for row, first, second in zip(rows, Noted.noted[::2], Noted.noted[1::2], strict=True):
        for name, value in (first | second).items():
            assert float(row[name]) == pytest.approx(value, rel=1e-6)


def test_a_profiler_that_was_asked_for_sees_each_hook(tmp_path: Path) -> None:
    runner = trainer(tmp_path, max_steps=2, profiler=SimpleProfiler())
    runner.fit(points(), data())
    assert isinstance(runner.profiler, SimpleProfiler)  # type: ignore[attr-defined]  # set later
    assert len(runner.profiler.recorded_durations["run_training_batch"]) == 2  # type: ignore[attr-defined]  # set later


class Moves(Gaussians):
    """Brings its batches to the device by itself."""

    moved = 0

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        self.moved += 1
        return batch


def test_data_that_move_their_batches_do_so_and_nothing_warns(tmp_path: Path) -> None:
    own = Moves(train=80, validation=16, batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silence_chatter()
        trainer(tmp_path, max_steps=2, limit_val_batches=0).fit(points(), own)
    assert own.moved == 2
