"""Models from checkpoints: which weights they have, and what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.errors import UserError
from lightning_gans.models import DLSGAN, GAN
from lightning_gans.priors import DynamicScale
from tests.support.rounds import LATENT, TinyDiscriminator, TinyGenerator, one_by_one
from tests.support.training import data, points, trainer


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
        "class_path": "lightning_gans.networks.MLPGenerator",
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
    with pytest.raises(FileNotFoundError, match=r"looked for .*/checkpoints/last-step=N\.ckpt"):
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
    assert saved["hyper_parameters"]["discriminator"] == "tests.support.rounds.TinyDiscriminator"
    with pytest.raises(UserError, match=r"does not hold generator.*load\(path, generator=\.\.\.\)"):
        lightning_gans.load(tmp_path)
    loaded = lightning_gans.load(tmp_path, generator=TinyGenerator)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    with pytest.raises(UserError, match="is of another model: expected") as caught:
        lightning_gans.load(tmp_path, generator=TinyGenerator, latent_dim=LATENT + 1)
    assert "\n" not in str(caught.value)
