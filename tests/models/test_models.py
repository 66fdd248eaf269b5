"""One table of all models, and what each of them must do."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor
from torch.optim import SGD

import lightning_gans
from lightning_gans.callbacks import Checkpoint
from lightning_gans.cli import CONFIGS, main
from lightning_gans.errors import UserError
from lightning_gans.losses import gradient_penalty
from lightning_gans.models import (
    ACGAN,
    AEDLSGAN,
    CAGAN,
    CGPGAN,
    DLSGAN,
    GAN,
    PVDGAN,
    VAEGAN,
    AdversarialModule,
    Autoencoder,
    CategoricalInfoGAN,
    Classifier,
    InfoGAN,
    Model,
)
from lightning_gans.networks import (
    MLPDiscriminator,
    MLPGenerator,
    PlainDiscriminator,
    PlainGenerator,
)
from lightning_gans.priors import GumbelSoftmax
from lightning_gans.safe_yaml import read_mapping
from lightning_gans.yaml_loader import load
from tests.support.idx import write_digits
from tests.support.rounds import one_by_one, trainer

SHAPE = (1, 4, 4)
LATENT = 5
Make = Callable[..., Model]
Weights = dict[str, Tensor]

DISCRIMINATOR: dict[str, Any] = {"discriminator": partial(MLPDiscriminator, width=8, depth=1)}
NETWORKS: dict[str, Any] = {**DISCRIMINATOR, "generator": partial(MLPGenerator, width=8, depth=1)}

# how to make a small one of each
MODELS: dict[str, Make] = {
    "GAN": partial(GAN, SHAPE, latent_dim=LATENT, **NETWORKS),
    "DLSGAN": partial(DLSGAN, SHAPE, latent_dim=LATENT, **NETWORKS),
    "InfoGAN": partial(InfoGAN, SHAPE, latent_dim=LATENT, **NETWORKS),
    "PVDGAN": partial(PVDGAN, SHAPE, latent_dim=LATENT, **NETWORKS),
    "VAEGAN": partial(VAEGAN, SHAPE, latent_dim=LATENT, **NETWORKS),
    "AEDLSGAN": partial(AEDLSGAN, SHAPE, (3,), latent_dim=LATENT, **NETWORKS),
    "CAGAN": partial(CAGAN, SHAPE, (3,), latent_dim=LATENT, **NETWORKS),
    "ACGAN": partial(ACGAN, SHAPE, (3,), latent_dim=LATENT, **NETWORKS),
    "CGPGAN": partial(CGPGAN, SHAPE, latent_dim=LATENT, num_categories=3, **NETWORKS),
    "CategoricalInfoGAN": partial(
        CategoricalInfoGAN, SHAPE, latent_dim=LATENT, num_categories=3, **NETWORKS
    ),
    "Elastic": partial(
        CategoricalInfoGAN,
        SHAPE,
        latent_dim=LATENT,
        num_categories=3,
        categories=GumbelSoftmax,
        warmup=0,
        **NETWORKS,
    ),
    "Autoencoder": partial(Autoencoder, SHAPE, latent_dim=LATENT, **NETWORKS),
    "Classifier": partial(Classifier, SHAPE, (3,), num_features=LATENT, **DISCRIMINATOR),
}
GAMES = [name for name in MODELS if name not in ("Autoencoder", "Classifier")]
METHODS = ("generate", "decode", "encode", "reconstruct", "cluster", "classify")


class Frozen(SGD):
    """Makes steps of size zero: gradients are made, weights stay."""

    def __init__(self, params: list[Tensor], lr: float = 0.0) -> None:
        super().__init__(params, lr=lr)


def tiny(name: str, **options: object) -> Model:
    torch.manual_seed(2)
    return MODELS[name](**options)


def pairs(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    draw = partial(torch.rand, generator=generator)
    y = torch.tensor([0, 1, 2, 2, 1, 0])
    return [(draw((6, *SHAPE)) * 2 - 1, y) for _ in range(count)]


def step(model: Model) -> Weights:
    """One iteration; the weights before it."""
    before = copy.deepcopy(model.state_dict())
    trainer(max_steps=1).fit(model, one_by_one(pairs(1)))
    return before


def moved(model: Model, before: Weights) -> set[str]:
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_turn_moves_all_of_its_own_player_and_no_other(name: str, player: str) -> None:
    if player == "discriminator":
        chosen = tiny(name, optimizer=Frozen, discriminator_optimizer=SGD)
    else:
        chosen = tiny(name, optimizer=SGD, discriminator_optimizer=Frozen)
    assert isinstance(chosen, AdversarialModule)
    before = step(chosen)
    assert moved(chosen, before) == {
        name
        for name, _ in chosen.named_parameters()
        if name.startswith("discriminator.") == (player == "discriminator")
    }


PENALISED = [name for name in GAMES if name != "Elastic"]  # which has the class of another


@pytest.mark.parametrize("name", PENALISED)
def test_lazy_penalties_count_as_often_as_they_are_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(interval: int) -> list[list[float]]:
        """Of the penalties in each of four iterations."""
        weighed = {n: 0.5 for n in ("r1", "r2") if n in signature(MODELS[name]).parameters}
        chosen = tiny(name, penalty_interval=interval, **weighed)
        seen: list[list[float]] = [[] for _ in range(4)]
        module = sys.modules[type(chosen).__module__]

        def penalty(score: Tensor, x: Tensor, center: float = 0.0, weight: float = 1.0) -> Tensor:
            seen[chosen.global_step].append(weight)
            return gradient_penalty(score, x, center, weight)

        monkeypatch.setattr(module, "gradient_penalty", penalty)
        trainer().fit(chosen, one_by_one(pairs(4)))
        return seen

    (each, *others), (first, second, third, fourth) = weights(1), weights(2)
    assert all(other == each for other in others)
    assert any(each)
    assert not any(first)
    assert not any(third)
    assert second == fourth == [2 * weight for weight in each]


@pytest.mark.parametrize("name", GAMES)
def test_penalties_without_an_interval_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="penalty_interval: expected whole number ≥ 1, got 0"):
        tiny(name, penalty_interval=0)


@pytest.mark.parametrize("name", ["Autoencoder", "Classifier"])
def test_an_iteration_moves_everything(name: str) -> None:
    chosen = tiny(name, optimizer=SGD)
    assert moved(chosen, step(chosen)) == {n for n, _ in chosen.named_parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_after_an_iteration_every_parameter_learns(name: str) -> None:
    chosen = tiny(name)
    step(chosen)
    assert all(p.requires_grad for p in chosen.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_saves_and_loads(name: str, tmp_path: Path) -> None:
    chosen = tiny(name)
    options = {"enable_checkpointing": True, "callbacks": [Checkpoint()]}
    trainer(default_root_dir=tmp_path, **options).fit(chosen, one_by_one(pairs(2)))
    loaded = lightning_gans.load(tmp_path)
    assert type(loaded) is type(chosen)
    state = chosen.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    for key, value in state.items():
        assert torch.equal(loaded.state_dict()[key], value), key
    chosen.eval()
    x, n = pairs(1)[0][0], 6
    for method in METHODS:
        if method not in chosen.capabilities:
            continue
        results = []
        for model in (chosen, loaded):
            torch.manual_seed(4)
            argument: Any = n if method == "generate" else x
            if method == "decode":
                argument = torch.randn(n, LATENT)
                c = model.categories.sample(n) if model.categories is not None else None
                results.append(model.decode(argument, c))
            else:
                results.append(getattr(model, method)(argument))
        torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_capabilities_work_and_others_are_refused_in_one_line(name: str, method: str) -> None:
    model = tiny(name).eval()
    x, n = pairs(1)[0][0], 6
    arguments: list[Any] = [n] if method == "generate" else [x]
    if method == "decode":
        arguments = [torch.randn(n, LATENT)]
        if model.categories is not None:
            arguments.append(model.categories.sample(n))
    if method not in model.capabilities:
        with pytest.raises(UserError, match=type(model).__name__) as caught:
            getattr(model, method)(*arguments)
        assert "\n" not in str(caught.value)
        return
    result = getattr(model, method)(*arguments)
    assert not result.requires_grad
    if method in ("generate", "decode", "reconstruct"):
        assert result.shape == (n, *SHAPE)
        assert result.abs().max() <= 1
    elif method == "encode":
        assert result.shape == (n, LATENT)
    else:
        assert result.shape == (n,)
        assert set(result.tolist()) <= {0, 1, 2}


def images_only(config: Path) -> bool:
    networks = read_mapping(config)["model"]["init_args"]
    return "generator" in networks or "class_path" in networks.get("discriminator", {})


@pytest.mark.parametrize("config", sorted((CONFIGS / "model").glob("*.yaml")), ids=lambda p: p.stem)
@pytest.mark.parametrize("data", ["mnist5k", "gaussians"])
def test_every_config_trains(
    config: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.max_steps=1"]
    words += ["trainer.limit_val_batches=2", f"data={data}", "data.batch_size=8"]
    words += ["pictures.samples=8", "pictures.dimensions=1"]
    if config.stem == "encoder":
        main(["model=gan", *words])
        source = next(tmp_path.glob("runs/gan/*/*"))
        words.append(f"model.checkpoint={source}")
    if data == "gaussians" and images_only(config):
        with pytest.raises(SystemExit):
            main([f"model={config.stem}", *words])
        assert "(2,)" in capsys.readouterr().err
        return
    main([f"model={config.stem}", *words])
    assert list(tmp_path.glob(f"runs/{config.stem}/{data}/*/checkpoints/last-step=1.ckpt"))


@pytest.mark.parametrize(
    "config", sorted((CONFIGS / "experiment").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_experiment_is_understood(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"experiment={config.stem}", "--print_config"]
    given = read_mapping(config)
    if "model" not in given:
        words.append("model=dlsgan")
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert not caught.value.code
    printed = load(capsys.readouterr().out, max_depth=50)
    arguments = given.get("model", {}).get("init_args", {})
    for name, value in arguments.items():
        if not isinstance(value, (dict, str)):
            assert printed["model"]["init_args"][name] == value


@pytest.mark.parametrize(
    ("words", "keeps"),
    [
        (["model=anodlsgan"], False),
        (["experiment=anodlsgan_mnist"], False),
        (["experiment=anodlsgan_celeba"], True),
    ],
)
def test_anodlsgan_averages_its_weights_on_faces_and_not_on_digits(
    words: list[str], keeps: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["ema"]["decay"] == (0.999 if keeps else 0)


def test_the_published_anodlsgan_trains_with_narrow_networks(tmp_path: Path) -> None:
    write_digits(tmp_path / "data", "MNIST", 0, train=64)
    arguments = ["experiment=anodlsgan_mnist", f"data.root={tmp_path / 'data'}"]
    arguments += ["model.generator.channels=2", "model.discriminator.channels=2"]
    arguments += ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    main([*arguments, "trainer.max_steps=2", "trainer.limit_val_batches=2"])
    (checkpoint,) = tmp_path.glob("runs/**/checkpoints/last-step=2.ckpt")
    model = lightning_gans.load(checkpoint)
    assert isinstance(model.generator, PlainGenerator)
    assert isinstance(model.discriminator, PlainDiscriminator)
