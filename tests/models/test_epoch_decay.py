"""A learning rate that falls from epoch to epoch, also over a stop."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_gans.callbacks import Checkpoint
from lightning_gans.data import Gaussians
from lightning_gans.models import DLSGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.optimizers import AdamW
from tests.support.rounds import trainer


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


@pytest.mark.parametrize("max_norm", [None, 0.5, 100.0])
def test_long_gradients_are_shortened_before_the_step(max_norm: float | None) -> None:
    start = [torch.tensor([1.0, 2.0]), torch.tensor([3.0])]
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]  # of norm 5 together
    ours, theirs = ([nn.Parameter(p.clone()) for p in start] for _ in range(2))
    optimizer = AdamW(ours, lr=0.1, betas=(0.5, 0.9), eps=0.3, max_norm=max_norm)
    plain = AdamW(theirs, lr=0.1, betas=(0.5, 0.9), eps=0.3)
    factor = min(1.0, (max_norm or 5.0) / 5)
    for _ in range(3):
        for parameters, by in ((ours, 1.0), (theirs, factor)):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient * by
        optimizer.step()
        plain.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert factor == 1 or not torch.allclose(ours[0], start[0])
    with pytest.raises(ValueError, match="max_norm: expected number > 0 or null, got 0"):
        AdamW(ours, max_norm=0)


def test_betas_may_be_whole_numbers_in_a_list() -> None:
    """As YAML and checkpoints give them; torch's own asks for a pair of floats."""
    ours, theirs = (nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
    optimizers = [AdamW([ours], betas=[0, 0.99]), AdamW([theirs])]  # type: ignore[arg-type]
    for optimizer, parameter in zip(optimizers, (ours, theirs), strict=True):
        for gradient in ([3.0, -1.0], [0.5, 2.0]):
            parameter.grad = torch.tensor(gradient)
            optimizer.step()
    assert torch.equal(ours, theirs)
