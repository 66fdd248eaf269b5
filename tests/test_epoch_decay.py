"""A learning rate that falls from epoch to epoch, also over a stop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rounds import trainer
from torch import Tensor

from lightning_gans.callbacks import Checkpoint
from lightning_gans.data import Gaussians
from lightning_gans.models import DLSGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import AdamW


class Watch(Callback):
    """Remembers the rates that each iteration is made with; may stop before one, as Ctrl-C does."""

    def __init__(self, interrupt: int | None = None) -> None:
        self.rates: list[list[float]] = []
        self.interrupt = interrupt

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.interrupt:
            raise KeyboardInterrupt
        self.rates.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])


def run(
    folder: Path,
    steps: int,
    ckpt: Path | None = None,
    interrupt: int | None = None,
    lr: float = 0.02,
    decay: float = 0.95,
) -> Tensor:
    """The rates of iterations, four an epoch: the discriminator's, of its own, and the other's."""
    torch.manual_seed(1)
    watch = Watch(interrupt)
    model = DLSGAN(
        image_shape=(2,),
        latent_dim=2,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
        optimizer=partial(AdamW, lr=lr, epoch_decay=decay),
        discriminator_optimizer=partial(AdamW, lr=2 * lr, epoch_decay=decay**2),
    )
    options = {"enable_checkpointing": True, "callbacks": [watch, Checkpoint()]}
    runner = trainer(default_root_dir=folder, max_epochs=-1, max_steps=steps, **options)
    runner.fit(model, Gaussians(train=32, validation=8, batch_size=8), ckpt_path=ckpt)
    return torch.tensor(watch.rates, dtype=torch.float64)


def expected(steps: range, lr: float = 0.02, decay: float = 0.95) -> Tensor:
    rates = [[2 * lr * decay ** (2 * (i // 4)), lr * decay ** (i // 4)] for i in steps]
    return torch.tensor(rates, dtype=torch.float64)


def test_each_epoch_has_its_rate(tmp_path: Path) -> None:
    rates = run(tmp_path, 14)
    torch.testing.assert_close(rates, expected(range(14)))
    assert rates[12, 1] == pytest.approx(0.02 * 0.95**3)


@pytest.mark.parametrize("stop", [3, 4, 5, 8, 10])
@pytest.mark.parametrize("how", ["at max_steps", "by Ctrl-C"])
def test_a_resumed_run_goes_on_with_the_rate_of_its_epoch(
    how: str, stop: int, tmp_path: Path
) -> None:
    """Within an epoch and at its end; Lightning takes an epoch cut off by max_steps for whole."""
    if how == "at max_steps":
        run(tmp_path, stop)
    else:
        with pytest.raises(SystemExit):
            run(tmp_path, 100, interrupt=stop)
    (saved,) = (tmp_path / "checkpoints").glob(f"*-step={stop}.ckpt")
    rates = run(tmp_path, 14, saved)
    torch.testing.assert_close(rates, expected(range(stop, 14)))


def test_a_resumed_run_takes_the_configs_rate_and_not_the_checkpoints(tmp_path: Path) -> None:
    run(tmp_path, 6)
    saved = tmp_path / "checkpoints" / "last-step=6.ckpt"
    rates = run(tmp_path, 9, saved, lr=0.1, decay=1.0)
    assert rates.tolist() == [[0.2, 0.1]] * 3


def test_without_a_decay_the_rate_stays(tmp_path: Path) -> None:
    assert run(tmp_path, 9, decay=1.0).tolist() == [[0.04, 0.02]] * 9
