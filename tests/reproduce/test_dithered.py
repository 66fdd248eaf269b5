"""Digits with noise of one grey level."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_gans.reproduce.dithered import DitheredMNIST


def seen(x: Tensor, training: bool = True, iteration: int = 0, rank: int = 0) -> Tensor:
    data = DitheredMNIST("somewhere")
    trainer = SimpleNamespace(training=training, global_step=iteration, global_rank=rank)
    data.trainer = cast(Trainer, trainer)
    return data.on_after_batch_transfer((x, torch.zeros(len(x))), 0)[0]


def test_rounding_takes_the_noise_off_training_images() -> None:
    levels = torch.randint(256, (64, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    dithered = (seen(levels / 127.5 - 1) + 1) * 127.5
    moved = dithered - levels
    assert torch.equal(dithered.round().long(), levels)
    # uniform in [-1/2, 1/2]: variance 1/12
    assert moved.abs().max() > 0.499
    assert moved.mean().abs() < 0.005
    assert moved.var() == pytest.approx(1 / 12, rel=0.01)


def test_noise_is_that_of_an_iteration_and_a_process() -> None:
    x = torch.zeros(4, 1, 32, 32)
    assert torch.equal(seen(x, iteration=7), seen(x, iteration=7))
    assert not torch.equal(seen(x, iteration=7), seen(x, iteration=8))
    assert not torch.equal(seen(x, rank=0), seen(x, rank=1))


def test_images_to_validate_on_stay_as_they_are() -> None:
    x = torch.rand(4, 1, 32, 32)
    assert torch.equal(seen(x, training=False), x)
