"""Averages of the weights: with any interval, and only where they are meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_gans.callbacks import EMA, Checkpoint
from tests.support.training import Watch, data, points, trainer


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
