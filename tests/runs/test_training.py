"""Counting, averages, checkpoints and resuming: what stock pieces get wrong for two optimisers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.errors import UserError
from lightning_gans.models import DLSGAN, GAN
from lightning_gans.priors import DynamicScale
from tests.support.rounds import LATENT, TinyDiscriminator, TinyGenerator, one_by_one
from tests.support.training import Watch, Weights, data, points, trainer


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


@pytest.mark.parametrize("every", [1, 2, 3])
def test_ema_with_any_interval_averages(every: int, tmp_path: Path) -> None:
    """The stock callback with an even interval never updates when two optimisers are stepped."""
    model, watch, ema = points(), Watch(), EMA(decay=0.8, every=every, warmup=None)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer(tmp_path, ema, watch, Checkpoint(), max_steps=7).fit(model, data())
    for iteration, weights in enumerate(watch.after, start=1):
        if iteration % every == 0:
            for name, value in average.items():
                average[name] = 0.8**every * value + (1 - 0.8**every) * weights[name]
    for name, value in average.items():
        torch.testing.assert_close(ema.average[name], value)
        assert not torch.allclose(value, watch.after[-1][name])


def test_ema_warms_up() -> None:
    ema = EMA(decay=0.999, warmup=0.1)
    assert ema.decay_at(1) == 0  # the average is the weights
    assert ema.decay_at(100) == pytest.approx(0.9)  # it spans a tenth of the iterations
    assert ema.decay_at(10**6) == 0.999
    assert EMA(decay=0.9, every=2, warmup=None).decay_at(1) == pytest.approx(0.81)


def test_validation_sees_averages_and_training_its_own_weights(tmp_path: Path) -> None:
    model, watch, ema = points(), Watch(), EMA(decay=0.8, warmup=None)
    runner = trainer(tmp_path, ema, watch, Checkpoint(), max_steps=6, val_check_interval=3)
    runner.fit(model, data())
    assert len(watch.validated) == 2
    parameters = dict(model.named_parameters())
    for name, value in ema.average.items():
        torch.testing.assert_close(watch.validated[-1][name], value)
    for name, parameter in parameters.items():
        assert torch.equal(parameter, watch.after[-1][name])
    # a buffer is no weight: v is never averaged a second time
    assert torch.equal(watch.validated[-1]["prior.v"], watch.after[-1]["prior.v"])
    assert "prior.v" not in ema.average


def test_an_error_within_validation_leaves_a_checkpoint_of_the_models_own_weights(
    tmp_path: Path,
) -> None:
    class Fails(Callback):
        def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            raise RuntimeError("on purpose")

    model, watch = points(), Watch()
    runner = trainer(
        tmp_path, EMA(0.8, warmup=None), watch, Fails(), Checkpoint(), val_check_interval=3
    )
    with pytest.raises(RuntimeError, match="on purpose"):
        runner.fit(model, data())
    saved = torch.load(tmp_path / "checkpoints" / "last-step=3.ckpt", weights_only=True)
    for name, value in watch.after[-1].items():
        assert torch.equal(saved["state_dict"][name], value)


@pytest.mark.parametrize("stop", [4, 10, 17])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(stop: int, tmp_path: Path) -> None:
    """Within an epoch of ten iterations, at its end, and within the next."""

    def finish(folder: Path, steps: int, ckpt: Path | None = None, seed: int = 1) -> Weights:
        model, ema = points(seed=seed), EMA(0.8)
        runner = trainer(folder, ema, Checkpoint(every=4), max_steps=steps)
        runner.fit(model, data(), ckpt_path=ckpt)
        moments = [
            value
            for optimizer in runner.optimizers
            for state in optimizer.state_dict()["state"].values()
            for value in state.values()
        ]
        return {
            **model.state_dict(),
            **{f"average.{name}": value for name, value in ema.average.items()},
            **{f"optimizer.{index}": torch.as_tensor(value) for index, value in enumerate(moments)},
            "steps": torch.tensor(runner.global_step),
        }

    whole = finish(tmp_path / "whole", 30)
    finish(tmp_path / "parts", stop)
    stopped = tmp_path / "parts" / "checkpoints" / f"last-step={stop}.ckpt"
    parts = finish(tmp_path / "parts", 30, stopped, seed=99)  # other initial weights: all is loaded
    assert whole["steps"] == 30
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


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


def test_best_is_kept_and_a_worse_one_is_not(tmp_path: Path) -> None:
    class Score(Callback):
        values = iter([5.0, 3.0, 4.0])

        def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            pl_module.log("fid/digits", next(self.values))

    checkpoint = Checkpoint(every=100)
    trainer(tmp_path, EMA(), Score(), checkpoint, max_steps=9, val_check_interval=3).fit(
        points(), data()
    )
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"best-step=6.ckpt", "last-step=9.ckpt"}
    assert checkpoint.best == 3


def test_load_gives_the_averaged_weights_in_eval_mode(tmp_path: Path) -> None:
    model, ema = points(), EMA(0.8, warmup=None)
    trainer(tmp_path, ema, Checkpoint(), max_steps=6).fit(model, data())
    loaded = lightning_gans.load(tmp_path)
    assert isinstance(loaded, DLSGAN)
    assert not loaded.training
    parameters = dict(loaded.named_parameters())
    for name, value in ema.average.items():
        assert torch.equal(parameters[name], value)
    assert isinstance(model.prior, DynamicScale)
    assert isinstance(loaded.prior, DynamicScale)
    assert torch.equal(loaded.prior.v, model.prior.v)


def test_lightnings_own_loading_gives_the_weights_as_trained(tmp_path: Path) -> None:
    model = points()
    trainer(tmp_path, EMA(0.8), Checkpoint(), max_steps=3).fit(model, data())
    loaded = DLSGAN.load_from_checkpoint(tmp_path / "checkpoints" / "last-step=3.ckpt")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_checkpoint_holds_data_only_and_no_extractor(tmp_path: Path) -> None:
    trainer(tmp_path, EMA(), Checkpoint(), max_steps=1).fit(points(), data())
    path = tmp_path / "checkpoints" / "last-step=1.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    recipe = checkpoint["hyper_parameters"]
    assert recipe["generator"] == {
        "class_path": "lightning_gans.networks.mlp.MLPGenerator",
        "init_args": {"width": 8, "depth": 1},
    }
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {
        "generator",
        "discriminator",
        "prior",
    }


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.ckpt cannot be read") as caught:
        lightning_gans.load(path)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt"):
        lightning_gans.load(tmp_path / "nowhere.ckpt")
    with pytest.raises(FileNotFoundError, match="no checkpoint in the run's folder"):
        lightning_gans.load(tmp_path)


def test_a_networks_class_built_in_a_function_must_be_given_again(tmp_path: Path) -> None:
    """What has no path cannot be saved; loading then says so, and training goes on."""
    torch.manual_seed(0)
    model = GAN(
        image_shape=(1, 4, 4),
        latent_dim=LATENT,
        generator=lambda latent_dim, image_shape: TinyGenerator(latent_dim, tuple(image_shape)),
        discriminator=TinyDiscriminator,
    )
    pairs = [(torch.zeros(4, 1, 4, 4), torch.zeros(4))]
    trainer(tmp_path, Checkpoint(), max_steps=1).fit(model, one_by_one(pairs))
    saved = torch.load(tmp_path / "checkpoints" / "last-step=1.ckpt", weights_only=True)
    assert "generator" not in saved["hyper_parameters"]
    assert saved["hyper_parameters"]["discriminator"] == "rounds.TinyDiscriminator"
    with pytest.raises(
        UserError, match=r"could not save generator.*load\(path, generator=\.\.\.\)"
    ):
        lightning_gans.load(tmp_path)
    loaded = lightning_gans.load(tmp_path, generator=TinyGenerator)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    with pytest.raises(UserError, match="is of another model: expected") as caught:
        lightning_gans.load(tmp_path, generator=TinyGenerator, latent_dim=LATENT + 1)
    assert "\n" not in str(caught.value)
