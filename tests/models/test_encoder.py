"""The encoder of a frozen generator: its equation, what it may not touch, and what it saves."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

import lightning_gans
from lightning_gans.callbacks import EMA, Checkpoint
from lightning_gans.cli import main
from lightning_gans.errors import UserError
from lightning_gans.models import (
    CAGAN,
    DLSGAN,
    GAN,
    Autoencoder,
    CategoricalInfoGAN,
    Classifier,
    Encoder,
    Model,
)
from lightning_gans.priors import DynamicScale
from lightning_gans.rng import stream
from lightning_gans.runs.checkpoints import CheckpointMissing, UnreadableCheckpoint
from tests.support.linear_networks import LinearDiscriminator, LinearGenerator
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    assert_same,
    batches,
    descend,
    one_by_one,
    trainer,
)


class NormGenerator(TinyGenerator):
    """A tiny generator with batch norm, which in training mode would change its buffers."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, ...]) -> None:
        super().__init__(latent_dim, image_shape)
        self.layers.insert(1, nn.BatchNorm1d(8))


NETWORKS: dict[str, Any] = {"generator": TinyGenerator, "discriminator": TinyDiscriminator}
UNEVEN = torch.tensor([1.0, 0.25, 0.04])


def dlsgan(**options: Any) -> DLSGAN:
    torch.manual_seed(1)
    model = DLSGAN(image_shape=SHAPE, latent_dim=LATENT, **{**NETWORKS, **options})
    assert isinstance(model.prior, DynamicScale)
    model.prior.v.copy_(UNEVEN)
    return model


def tiny(checkpoint: str | Model, **options: Any) -> Encoder:
    torch.manual_seed(2)
    arguments = {"discriminator": TinyDiscriminator, "optimizer": DESCENT, **options}
    return Encoder(checkpoint, SHAPE, **arguments)


def fit(model: Model, folder: Path, data: list[Tensor], *callbacks: EMA) -> None:
    pairs = [(x, torch.zeros(len(x), dtype=torch.long)) for x in data]
    options = {"enable_checkpointing": True, "callbacks": [*callbacks, Checkpoint()]}
    trainer(default_root_dir=folder, **options).fit(model, one_by_one(pairs))


def images(count: int) -> list[Tensor]:
    return [x.float() for x in batches(count)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a trained model with batch norm and averaged weights."""
    fit(dlsgan(generator=NormGenerator), tmp_path / "source", images(4), EMA(0.8, warmup=None))
    return tmp_path / "source"


def test_two_rounds_are_equation_15(tmp_path: Path) -> None:
    model, data = tiny(dlsgan(), latent=1.3).double(), batches(2)
    reference = copy.deepcopy(model)
    pairs = [(x, torch.zeros(len(x))) for x in data]
    trainer(precision="64-true").fit(model, one_by_one(pairs))
    random, v = stream("training"), UNEVEN.double()
    for batch in data:
        z = torch.randn(len(batch), LATENT, generator=random, dtype=torch.float64)
        s = (LATENT * v / v.sum()).sqrt()
        with torch.no_grad():
            x = reference.generator(z * s)
        _, code, _ = reference.encoder(x)
        l_enc = ((z - code) ** 2).sum(1).mean() / LATENT
        descend(list(reference.encoder.parameters()), 1.3 * l_enc)
    assert_same(model, reference)


def test_the_data_are_not_looked_at() -> None:
    data, other = images(2), [-x / 2 for x in images(2)]
    models = [tiny(dlsgan()) for _ in range(2)]
    for model, given in zip(models, (data, other), strict=True):
        trainer().fit(model, one_by_one([(x, torch.zeros(len(x))) for x in given]))
    assert_same(models[0], models[1])


def test_recovers_the_latents_of_a_linear_generator() -> None:
    torch.manual_seed(0)
    linear = {"generator": LinearGenerator, "discriminator": LinearDiscriminator}
    source = GAN(image_shape=(6,), latent_dim=3, **linear)  # type: ignore[arg-type]  # by name
    with torch.no_grad():
        source.generator.layer.weight.copy_(torch.linalg.qr(torch.randn(6, 3)).Q)  # type: ignore[union-attr, operator]
    model = Encoder(source, (6,), LinearDiscriminator, partial(Adam, lr=0.03))
    trainer().fit(model, one_by_one([(torch.zeros(64, 6), torch.zeros(64))] * 400))
    z = torch.randn(100, 3)
    torch.testing.assert_close(model.encode(model.decode(z)), z, rtol=0, atol=0.01)
    x = model.generate(5)
    torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=0.01)


def test_generator_and_prior_stay_bit_for_bit(run: Path, tmp_path: Path) -> None:
    source, model = lightning_gans.load(run), tiny(str(run))
    assert any("running_mean" in name for name in source.generator.state_dict())
    before = copy.deepcopy(model.encoder.state_dict())
    model.train()
    fit(model, tmp_path / "encoder", images(3), EMA(0.5))
    for part in ("generator", "prior"):
        theirs = getattr(source, part).state_dict()
        for name, value in getattr(model, part).state_dict().items():
            assert torch.equal(value, theirs[name]), name
        assert not any(p.requires_grad for p in getattr(model, part).parameters())
        assert not getattr(model, part).training
    assert model.encoder.training
    parameter_groups = {
        id(p) for group in model.parameter_groups("encoder") for p in group["params"]
    }
    assert parameter_groups == {id(p) for p in model.encoder.parameters()}
    for name, value in model.encoder.state_dict().items():
        assert not torch.equal(value, before[name]), name


def test_the_generators_averaged_weights_are_taken(run: Path) -> None:
    saved = torch.load(run / "checkpoints" / "last-step=4.ckpt", weights_only=True)
    average = saved["callbacks"]["EMA"]["average"]
    for model in (tiny(str(run)), tiny(str(run / "checkpoints" / "last-step=4.ckpt"))):
        for name, value in model.generator.named_parameters():
            assert torch.equal(value, average[f"generator.{name}"])
            assert not torch.equal(value, saved["state_dict"][f"generator.{name}"])


def test_a_model_that_is_given_is_copied() -> None:
    source = dlsgan()
    model = tiny(source)
    assert all(p.requires_grad for p in source.parameters())
    with torch.no_grad():
        next(model.generator.parameters()).fill_(0)
    assert not torch.equal(next(source.generator.parameters()), next(model.generator.parameters()))


def test_loads_where_the_source_is_gone(run: Path, tmp_path: Path) -> None:
    model = tiny(str(run), latent=0.5)
    fit(model, tmp_path / "encoder", images(2))
    run.rename(tmp_path / "elsewhere")
    loaded = lightning_gans.load(tmp_path / "encoder")
    assert isinstance(loaded, Encoder)
    assert loaded.latent == 0.5
    assert not loaded.training
    source, z = lightning_gans.load(tmp_path / "elsewhere"), torch.randn(3, LATENT)
    assert torch.equal(loaded.decode(z), source.decode(z))
    assert torch.equal(loaded.prior.scale(), source.prior.scale())
    x = images(1)[0]
    torch.testing.assert_close(loaded.encode(x), model.eval().encode(x))
    # and once more: an encoder is a model that generates, and can be inverted itself
    again = tiny(str(tmp_path / "encoder"))
    fit(again, tmp_path / "again", images(1))
    (tmp_path / "encoder").rename(tmp_path / "away")
    assert torch.equal(lightning_gans.load(tmp_path / "again").decode(z), source.decode(z))


def test_what_cannot_be_written_must_be_given_again(tmp_path: Path) -> None:
    source = dlsgan(generator=lambda latent_dim, image_shape: TinyGenerator(latent_dim, SHAPE))
    fit(tiny(source), tmp_path, images(1))
    with pytest.raises(UserError, match=r"does not hold checkpoint.*load\(path, checkpoint=\.\.\."):
        lightning_gans.load(tmp_path)
    loaded, z = lightning_gans.load(tmp_path, checkpoint=source), torch.randn(3, LATENT)
    assert torch.equal(loaded.decode(z), source.eval().decode(z))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (partial(Classifier, classes=(4,)), "one of Classifier, which generates no images"),
        (partial(Autoencoder, **NETWORKS), "one of Autoencoder, which generates no images"),
        (
            partial(CAGAN, classes=(4,), **{**NETWORKS, "generator": TinyConditionalGenerator}),
            "one of CAGAN, which generates by class",
        ),
        (
            partial(CategoricalInfoGAN, **{**NETWORKS, "generator": TinyConditionalGenerator}),
            "one of CategoricalInfoGAN, which generates by class",
        ),
    ],
)
def test_other_models_are_refused_in_one_line(source: Any, why: str) -> None:
    options = {} if source.func is Classifier else {"latent_dim": LATENT}
    model = source(SHAPE, discriminator=TinyDiscriminator, **options)
    with pytest.raises(UserError, match=f"^expected the checkpoint of a model [^\n]*{why}[^\n]*$"):
        tiny(model)


def test_wrong_files_and_shapes_are_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMissing, match=r"^no checkpoint at nowhere: [^\n]*$"):
        tiny("nowhere")
    (tmp_path / "broken.ckpt").write_bytes(b"broken")
    with pytest.raises(UnreadableCheckpoint, match=r"broken\.ckpt cannot be read"):
        tiny(str(tmp_path / "broken.ckpt"))
    with pytest.raises(UserError, match=r"generator's images, \(1, 4, 4\), got \(1, 8, 8\)[^\n]*$"):
        Encoder(str(run), (1, 8, 8))


def test_the_command_line_takes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=gaussians", "data.train=64", "data.validation=32", "trainer.accelerator=cpu"]
    words += ["trainer.enable_progress_bar=false"]
    main(["model=gan", *words, "trainer.max_steps=2", "model.latent_dim=5"])
    (source,) = (tmp_path / "runs" / "gan" / "gaussians").iterdir()
    main(["model=encoder", f"model.checkpoint={source}", *words, "trainer.max_steps=2"])
    (run,) = (tmp_path / "runs" / "encoder" / "gaussians").iterdir()
    source.rename(tmp_path / "away")
    loaded, z = lightning_gans.load(run), torch.randn(3, 5)
    assert torch.equal(loaded.decode(z), lightning_gans.load(tmp_path / "away").decode(z))
    with pytest.raises(SystemExit) as end:
        main(["model=encoder", "model.checkpoint=nowhere", *words])
    assert end.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: no checkpoint at nowhere")
