"""The autoencoder against its equation, and against principal components where it is linear."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.optim import Adam

import lightning_gans
from lightning_gans.app.latents import draw
from lightning_gans.callbacks import Checkpoint, Evaluation, Pictures
from lightning_gans.errors import UserError
from lightning_gans.metrics import PSNR
from lightning_gans.models import Autoencoder
from tests.support.features import NoSSIM, Pixels
from tests.support.linear_networks import LinearDiscriminator, LinearGenerator
from tests.support.rounds import (
    DESCENT,
    LATENT,
    SHAPE,
    TinyDiscriminator,
    TinyGenerator,
    assert_same,
    batches,
    descend,
    one_by_one,
    trainer,
)


def tiny(**options: object) -> Autoencoder:
    torch.manual_seed(1)
    arguments: dict[str, object] = {
        "image_shape": SHAPE,
        "latent_dim": LATENT,
        "generator": TinyGenerator,
        "discriminator": TinyDiscriminator,
        "optimizer": DESCENT,
    }
    return Autoencoder(**{**arguments, **options})  # type: ignore[arg-type]  # by name, as given


def pairs(data: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(x, torch.zeros(len(x), dtype=torch.long)) for x in data]


def test_two_rounds_are_the_pixelwise_squared_error() -> None:
    model, data = tiny(reconstruction=1.3).double(), batches(2)
    reference = copy.deepcopy(model)
    trainer(precision="64-true").fit(model, one_by_one(pairs(data)))
    for x in data:
        _, code, _ = reference.encoder(x)
        difference = reference.generator(code) - x
        loss = (difference**2).sum() / (len(x) * 16)
        descend(list(reference.parameters()), 1.3 * loss)
    assert_same(model, reference)


def test_linear_networks_approach_principal_components() -> None:
    torch.manual_seed(0)
    mixing = torch.linalg.qr(torch.randn(6, 6)).Q
    spread = torch.tensor([3.0, 2.0, 0.5, 0.4, 0.3, 0.2])
    x = torch.randn(200, 6) * spread @ mixing.T + torch.arange(6.0)
    pca = PCA(2).fit(x.numpy())
    residual = x - torch.from_numpy(pca.inverse_transform(pca.transform(x.numpy()))).to(x)
    least = residual.square().mean()

    model = Autoencoder(
        image_shape=(6,),
        latent_dim=2,
        generator=LinearGenerator,
        discriminator=LinearDiscriminator,
        optimizer=partial(Adam, lr=0.1),
    )
    trainer().fit(model, one_by_one(pairs([x] * 500)))
    reached = (model.reconstruct(x) - x).square().mean()
    assert least * (1 - 1e-4) <= reached <= least * 1.01


@pytest.mark.parametrize("n", [1, 7])
def test_capabilities_agree(n: int) -> None:
    model = tiny().eval()
    with torch.no_grad():
        model.generator.layers[-1].bias += 0.8  # type: ignore[index, union-attr]  # so that some pixels exceed 1
    x = torch.cat(batches(2)).float()[:n]
    code = model.encode(x)
    assert code.shape == (n, LATENT)
    assert not code.requires_grad
    torch.testing.assert_close(code, model.encoder(x).code)
    raw = model.generator(code)
    assert raw.max() > 1
    torch.testing.assert_close(model.decode(code), raw.clamp(-1, 1))
    torch.testing.assert_close(model.reconstruct(x), raw.clamp(-1, 1))
    predicted = model.predict_step((x, torch.zeros(n)), 0)
    assert predicted.keys() == {"code", "reconstruction"}
    torch.testing.assert_close(predicted["reconstruction"], raw.clamp(-1, 1))


def test_capabilities_refuse_what_they_cannot_do() -> None:
    model = tiny()
    with pytest.raises(
        UserError, match=r"Autoencoder does not support generate\(\); it supports decode\(\)"
    ):
        model.generate(2)
    with pytest.raises(UserError, match=r"does not support classify\(\)"):
        model.classify(torch.zeros(2, *SHAPE))
    with pytest.raises(ValueError, match=r"latents of shape \(n, 3\), got \(2, 4\)"):
        model.decode(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"images of shape \(n, 1, 4, 4\), got \(2, 1, 5, 5\)"):
        model.encode(torch.zeros(2, 1, 5, 5))
    with pytest.raises(ValueError, match=r"in \[-1, 1\], got values from 3 to 3"):
        model.reconstruct(torch.full((2, *SHAPE), 3.0))


def test_is_measured_and_drawn_by_its_reconstructions_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # images of 4 × 4 are too small for SSIM's window
    monkeypatch.setattr("lightning_gans.callbacks.measurements.reconstruction_quality.SSIM", NoSSIM)
    model, x = tiny().eval(), torch.cat(batches(4)).float()
    runner = trainer(
        default_root_dir=tmp_path,
        callbacks=[Evaluation(Pixels()), Pictures(columns=3)],
    )
    runner.validate(model, one_by_one(pairs(list(torch.split(x, 8)))), verbose=False)
    measured = set(runner.callback_metrics) - {"step"}
    assert measured == {"psnr/real", "ssim/real", "evaluation/samples"}
    plain = PSNR()
    plain.update(x, model.reconstruct(x))
    assert float(runner.callback_metrics["psnr/real"]) == pytest.approx(float(plain.compute()))
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["reconstructions-step=0.png"]


def test_of_points_no_picture_is_drawn() -> None:
    model = tiny(
        image_shape=(2,), generator=LinearGenerator, discriminator=LinearDiscriminator
    ).eval()
    assert Pictures().draw(model, torch.randn(8, 2)) == {}


def test_the_page_begins_with_zero_for_nothing_can_be_drawn() -> None:
    assert draw(tiny()) == [0.0] * LATENT


def test_saves_and_loads(tmp_path: Path) -> None:
    model = tiny(reconstruction=0.5)
    options = {"enable_checkpointing": True, "callbacks": [Checkpoint()]}
    trainer(default_root_dir=tmp_path, **options).fit(
        model, one_by_one(pairs([x.float() for x in batches(2)]))
    )
    loaded = lightning_gans.load(tmp_path)
    assert isinstance(loaded, Autoencoder)
    assert loaded.reconstruction == 0.5
    x = batches(1)[0].float()
    torch.testing.assert_close(loaded.reconstruct(x), model.eval().reconstruct(x))
