"""One table of all models, and what each of them must do."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from rounds import LATENT, SHAPE, TinyDiscriminator, TinyGenerator, batches, one_by_one, trainer
from torch import Tensor
from torch.optim import SGD

import lightning_gans
from lightning_gans.callbacks import Checkpoint
from lightning_gans.cli import CONFIGS, main
from lightning_gans.models import DLSGAN, GAN, AdversarialModule

MODELS = [GAN, DLSGAN]
Weights = dict[str, Tensor]


class Frozen(SGD):
    """Makes steps of size zero: gradients are made, weights stay."""

    def __init__(self, params: list[Tensor], lr: float = 0.0) -> None:
        super().__init__(params, lr=lr)


def tiny(model: type[GAN] | type[DLSGAN], **options: object) -> AdversarialModule:
    torch.manual_seed(2)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
    }
    return model(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given


def step(model: AdversarialModule) -> Weights:
    """One iteration; the weights before it."""
    before = copy.deepcopy(model.state_dict())
    pairs = [(x.float(), torch.zeros(len(x))) for x in batches(1)]
    trainer(max_steps=1).fit(model, one_by_one(pairs))
    return before


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_turn_moves_its_own_player_only(model: type[GAN] | type[DLSGAN], player: str) -> None:
    if player == "discriminator":
        chosen = tiny(model, optimizer=Frozen, discriminator_optimizer=SGD)
    else:
        chosen = tiny(model, optimizer=SGD, discriminator_optimizer=Frozen)
    before = step(chosen)
    moved = {name for name, p in chosen.named_parameters() if not torch.equal(p, before[name])}
    own = {
        name
        for name, _ in chosen.named_parameters()
        if name.startswith("discriminator.") == (player == "discriminator")
    }
    assert moved == own


@pytest.mark.parametrize("model", MODELS)
def test_after_an_iteration_every_parameter_learns(model: type[GAN] | type[DLSGAN]) -> None:
    chosen = tiny(model)
    step(chosen)
    assert all(p.requires_grad for p in chosen.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_saves_and_loads(model: type[GAN] | type[DLSGAN], tmp_path: Path) -> None:
    chosen = tiny(model, r1=0.25)
    pairs = [(x.float(), torch.zeros(len(x))) for x in batches(2)]
    options = {"enable_checkpointing": True, "callbacks": [Checkpoint()]}
    trainer(default_root_dir=tmp_path, **options).fit(chosen, one_by_one(pairs))
    loaded = lightning_gans.load(tmp_path)
    assert type(loaded) is model
    assert loaded.r1 == 0.25
    for name, value in chosen.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    z = torch.randn(3, LATENT)
    torch.testing.assert_close(loaded.decode(z), chosen.eval().decode(z))


@pytest.mark.parametrize("config", sorted((CONFIGS / "model").glob("*.yaml")), ids=lambda p: p.stem)
@pytest.mark.parametrize("data", ["mnist5k", "gaussians"])
def test_every_config_trains(config: Path, data: str, tmp_path: Path) -> None:
    words = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.max_steps=1"]
    main([f"model={config.stem}", f"data={data}", *words, "trainer.limit_val_batches=1"])
    assert list(tmp_path.glob(f"runs/{config.stem}/{data}/*/checkpoints/last-step=1.ckpt"))
