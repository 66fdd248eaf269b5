"""Training with a compiled generator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from lightning_gans.callbacks import EMA, Checkpoint, Compile
from lightning_gans.errors import UserError
from lightning_gans.models import Classifier
from lightning_gans.networks import MLPDiscriminator
from lightning_gans.runs.folder import newest
from tests.support.training import Watch, data, points, trainer


class Networks(Watch):
    """Remembers which network was the generator, in training and in evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.training: list[nn.Module] = []
        self.evaluated: list[nn.Module] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *_: object
    ) -> None:
        self.training.append(pl_module.generator)  # type: ignore[arg-type]  # a module

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluated.append(pl_module.generator)  # type: ignore[arg-type]  # a module


def test_who_has_no_compiler_trains_without_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(network: nn.Module) -> nn.Module:
        def call(*inputs: object) -> None:
            raise RuntimeError("no C++ compiler\nand a page of text")

        network = nn.Module()
        network.forward = call
        return network

    monkeypatch.setattr(torch, "compile", refuse)
    plain, model = points(), points()
    trainer(tmp_path / "plain", max_steps=2).fit(plain, data())
    with pytest.warns(UserWarning, match=r"not compiled: no C\+\+ compiler and a page.*without"):
        trainer(tmp_path / "compiled", Compile(generator=True), max_steps=2).fit(model, data())
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_the_compiled_generator_trains_and_the_plain_one_is_evaluated_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend="eager"))
    whole, model, seen = points(), points(), Networks()
    trainer(tmp_path / "plain", max_steps=6).fit(whole, data())
    plain = model.generator
    options = {"val_check_interval": 2, "num_sanity_val_steps": 1}
    callbacks = (Compile(generator=True), EMA(), Checkpoint(), seen)
    trainer(tmp_path / "parts", *callbacks, max_steps=4, **options).fit(model, data())
    assert model.generator is plain
    assert len(seen.training) == 4
    assert not any(network is plain for network in seen.training)
    assert len(seen.evaluated) == 3
    assert all(network is plain for network in seen.evaluated)
    # resumed without it
    last = points(seed=5)
    runner = trainer(tmp_path / "parts", EMA(), Checkpoint(), max_steps=6)
    runner.fit(last, data(), ckpt_path=newest(tmp_path / "parts"))
    for name, value in whole.state_dict().items():
        assert torch.equal(last.state_dict()[name], value), name


def test_a_model_without_a_generator_refuses_to_compile_it(tmp_path: Path) -> None:
    model = Classifier((2,), (4,), discriminator=MLPDiscriminator)
    with pytest.raises(UserError, match=r"compile\.generator=true: Classifier trains no generator"):
        trainer(tmp_path, Compile(generator=True), max_steps=1).fit(model, data())


@pytest.mark.slow
def test_a_generator_compiled_by_torch_learns_the_same(tmp_path: Path) -> None:
    plain, model, seen = points(), points(), Networks()
    trainer(tmp_path / "plain", max_steps=5).fit(plain, data())
    trainer(tmp_path / "compiled", Compile(generator=True), seen, max_steps=5).fit(model, data())
    assert not any(network is model.generator for network in seen.training)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-4)
