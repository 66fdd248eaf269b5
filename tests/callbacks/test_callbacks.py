"""What is measured and drawn, against the same written out plainly."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from lightning_gans.callbacks import EMA, Evaluation, Pictures
from lightning_gans.callbacks.ema import averaged_weights
from lightning_gans.callbacks.measurements import SampleQuality
from lightning_gans.errors import UserError
from lightning_gans.metrics import (
    FeaturesUnavailable,
    FrechetDistance,
    from_uint8,
    to_uint8,
)
from lightning_gans.models import AEDLSGAN, CAGAN, CGPGAN, DLSGAN, GAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.priors import DynamicScale
from lightning_gans.rng import stream
from tests.support.features import NoSSIM, Pixels
from tests.support.models import tiny_dlsgan
from tests.support.rounds import LATENT, one_by_one
from tests.support.training import data, points, trainer


class Missing(Pixels):
    """Has no weights."""

    def _load(self, device: torch.device) -> None:
        raise FeaturesUnavailable("no weights at nowhere.pth")


SSIM = "lightning_gans.callbacks.measurements.reconstruction_quality.SSIM"


@pytest.fixture
def model() -> DLSGAN:
    chosen = tiny_dlsgan().float().eval()
    assert isinstance(chosen.prior, DynamicScale)
    chosen.prior.v.copy_(torch.tensor([0.5, 0.02, 0.1]))
    return chosen


@pytest.fixture
def images() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.rand((40, 1, 4, 4), generator=generator) * 2 - 1


def evaluate(model: DLSGAN, images: Tensor, folder: Path, callback: Evaluation) -> dict[str, float]:
    pairs = [(x, torch.zeros(len(x))) for x in torch.split(images, 16)]
    runner = trainer(folder, callback)
    runner.validate(model, one_by_one(pairs), verbose=False)
    return {name: float(value) for name, value in runner.callback_metrics.items()}


def test_evaluation_is_the_plain_formulas(
    model: DLSGAN, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # images of 4 × 4 are too small for SSIM's window
    monkeypatch.setattr(SSIM, NoSSIM)
    values = evaluate(model, images, tmp_path, Evaluation(Pixels()))
    s = model.prior.scale()
    z = torch.randn(256, LATENT, generator=stream("evaluation/0"))[: len(images)]
    with torch.no_grad():
        raw = model.generator(z * s)
        fakes = raw.clamp(-1, 1)
        l_enc = ((z - model.discriminator(raw).code) * s).square().mean()
    assert values["latent/loss"] == pytest.approx(float(l_enc), rel=1e-5)
    entropy = 0.5 * np.log(2 * np.pi * np.e) * LATENT + float(s.log().sum())
    assert values["latent/entropy"] == pytest.approx(entropy, rel=1e-5)
    assert values["latent/active"] == 2  # 0.02 is less than a tenth of 0.5, 0.1 is not
    assert values["evaluation/samples"] == 40
    for name, x in (("real", images), ("fake", fakes)):
        again = model.reconstruct(x)
        plain = np.mean(
            [
                peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=2.0)
                for a, b in zip(x, again, strict=True)
            ]
        )
        assert values[f"psnr/{name}"] == pytest.approx(plain, rel=1e-4)
    distance = FrechetDistance(16)
    distance.update(to_uint8(images).flatten(1).float(), real=True)
    distance.update(to_uint8(fakes).flatten(1).float(), real=False)
    assert values["fid/pixels"] == pytest.approx(float(distance.compute()), rel=1e-5)
    assert {"precision/pixels", "recall/pixels"} <= values.keys()


def test_evaluation_is_the_same_every_time_and_moves_no_random_numbers(
    model: DLSGAN, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SSIM, NoSSIM)
    model.random = stream("training")
    state = model.random.get_state()
    first = evaluate(model, images, tmp_path / "1", Evaluation(Pixels()))
    again = evaluate(model, images, tmp_path / "2", Evaluation(Pixels()))
    assert first == again
    assert torch.equal(model.random.get_state(), state)


def test_blocks_of_features_bound_memory_and_change_no_value(
    model: DLSGAN, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SSIM, NoSSIM)
    whole, parts = Evaluation(Pixels()), Evaluation(Pixels(), block=7)
    assert evaluate(model, images, tmp_path / "1", parts) == pytest.approx(
        evaluate(model, images, tmp_path / "2", whole), rel=1e-6
    )
    (quality,) = (m for m in parts.active if isinstance(m, SampleQuality))
    assert quality.kid.block == quality.manifolds.block == 7
    with pytest.raises(ValueError, match="block: expected whole number ≥ 1, got 0"):
        Evaluation(block=0)


def test_stylegan3_163_without_weights_the_rest_is_measured_and_a_warning_says_so(
    model: DLSGAN, images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SSIM, NoSSIM)
    with pytest.warns(UserWarning, match="density and coverage are not measured: no weights"):
        values = evaluate(model, images, tmp_path, Evaluation(Missing(), required=False))
    assert not any(name.startswith("fid") for name in values)
    assert "psnr/real" in values


def test_without_weights_that_are_required_nothing_is_trained(tmp_path: Path) -> None:
    model, x = GAN((1, 16, 16), 3), torch.zeros(4, 1, 16, 16)
    runner = trainer(tmp_path, Evaluation(Missing()))
    with pytest.raises(
        UserError, match=r"no weights.* without FID and related metrics: evaluation.required=false$"
    ):
        runner.fit(model, one_by_one([(x, torch.zeros(4))]))
    assert runner.global_step == 0


def test_pictures_show_what_they_say(model: DLSGAN, images: Tensor) -> None:
    pictures = Pictures(samples=6, columns=3, dimensions=2, steps=5)
    drawn = pictures.draw(model, images[:7])

    def cells(name: str, columns: int) -> Tensor:
        """The single images of a grid, in [-1, 1]."""
        picture = from_uint8(drawn[name][None, :1])
        height, width = picture.shape[2:]
        corners = [(y, x) for y in range(2, height, 6) for x in range(2, width, 6)]
        assert len(corners) % columns == 0
        return torch.stack([picture[0, 0, y : y + 4, x : x + 4] for y, x in corners])

    def shown(x: Tensor) -> Tensor:
        return from_uint8(to_uint8(x))[:, 0]

    z = model.prior.sample(6, stream("pictures"))
    torch.testing.assert_close(cells("samples", 3), shown(model.decode(z)))
    # seven images in rows of three: two whole rows, each above its reconstructions
    rows = [images[:3], model.reconstruct(images[:3]), images[3:6], model.reconstruct(images[3:6])]
    torch.testing.assert_close(cells("reconstructions", 3), shown(torch.cat(rows)))
    # v is largest at element 0, then 2
    code = model.encode(images[:1])
    line = []
    for element in (0, 2):
        for value in (-2.0, -1.0, 0.0, 1.0, 2.0):
            moved = code.clone()
            moved[0, element] = value
            line.append(model.decode(moved))
    torch.testing.assert_close(cells("traversals", 5), shown(torch.cat(line)))


def cells_of(picture: Tensor, side: int) -> Tensor:
    """The single images of a grid of grey images, in [-1, 1]."""
    grey = from_uint8(picture[None, :1])
    height, width = grey.shape[2:]
    corners = [(y, x) for y in range(2, height, side + 2) for x in range(2, width, side + 2)]
    return torch.stack([grey[0, 0, y : y + side, x : x + side] for y, x in corners])


def test_edits_show_one_image_with_less_to_more_of_each_attribute(images: Tensor) -> None:
    model = AEDLSGAN(
        (1, 4, 4),
        (2, 3),
        latent_dim=6,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    ).eval()
    pictures = Pictures(samples=4, columns=2, dimensions=9, steps=3)
    # their number is that of their names
    assert "edits" not in pictures.draw(model, images[:4])
    model.class_names = (("without", "with"), ("red", "green", "blue"))
    found = cells_of(pictures.draw(model, images[:4])["edits"], 4)
    expected = [model.edit(images[:1], k, s) for k in range(4) for s in (-2.0, 0.0, 2.0)]
    torch.testing.assert_close(found, from_uint8(to_uint8(torch.cat(expected)))[:, 0])
    assert len(cells_of(Pictures(dimensions=2, steps=3).draw(model, images)["edits"], 4)) == 6


def test_categories_show_each_image_in_the_column_of_its_category(images: Tensor) -> None:
    torch.manual_seed(0)
    model = CGPGAN(
        (1, 4, 4),
        num_categories=5,
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    ).eval()
    drawn = Pictures(samples=40, columns=5).draw(model, images)
    category = model.cluster(images)
    assert len(set(category.tolist())) > 1
    height = min(8, int(category.bincount().max()))
    found = cells_of(drawn["categories"], 4).view(height, 5, 4, 4)
    for one in range(5):
        column = images[category == one][:height]
        torch.testing.assert_close(
            found[: len(column), one], from_uint8(to_uint8(column))[:, 0], msg=f"category {one}"
        )
        assert bool((found[len(column) :, one] == -1).all())


def test_aiaccel_554_averages_take_batch_norms_statistics_and_no_other_buffer() -> None:
    """The averaged statistics are the plain recursion over what training leaves behind."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(2)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), norm, DynamicScale(2))
    assert norm.running_mean is not None
    ema = EMA(decay=0.75, warmup=None)
    ema.average = {name: value.detach().clone() for name, value in averaged_weights(model).items()}
    plain = norm.running_mean.clone()
    for step in range(1, 4):
        norm(model[0](torch.randn(8, 3)))
        ema.update(model, step)
        plain = 0.75 * plain + 0.25 * norm.running_mean
    assert not torch.equal(plain, norm.running_mean)
    ema.apply(model)
    torch.testing.assert_close(norm.running_mean, plain)
    assert norm.num_batches_tracked == 3
    assert {name.rpartition(".")[2] for name in ema.average} == {
        *("weight", "bias", "running_mean", "running_var")
    }


def test_anemoi_core_743_averages_find_their_weights_by_name() -> None:
    """Also when a weight was registered anew, and so stands behind the others."""
    layer = torch.nn.Linear(3, 3)
    start = {name: value.detach().clone() for name, value in layer.named_parameters()}
    ema = EMA(decay=0.75, warmup=None)
    ema.average = {name: value.clone() for name, value in start.items()}
    layer.weight = torch.nn.Parameter(torch.ones(3, 3))
    weight = layer.weight
    del layer.weight
    layer.register_parameter("weight", weight)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight"]
    ema.update(layer, 1)
    ema.apply(layer)
    torch.testing.assert_close(layer.weight, 0.75 * start["weight"] + 0.25)
    torch.testing.assert_close(layer.bias, start["bias"])


def test_neural_lam_739_averages_are_of_the_models_kind_and_place(tmp_path: Path) -> None:
    """Lightning casts and moves a model after the setup hook: a copy made there would be left."""
    ema = EMA(0.8, warmup=None)
    trainer(tmp_path, ema, max_steps=2, precision="64-true").fit(points(), data())
    assert {value.dtype for value in ema.average.values()} == {torch.float64}


def test_very_many_categories_can_be_drawn() -> None:
    model = CAGAN(
        (1, 4, 4),
        (120,),
        latent_dim=LATENT,
        generator=partial(MLPGenerator, width=8, depth=1),
        discriminator=partial(MLPDiscriminator, width=8, depth=1),
    )
    picture = Pictures(samples=8, columns=4).draw(model.eval(), torch.zeros(4, 1, 4, 4))["samples"]
    assert picture.shape == (3, 2 * 6 + 2, 4 * 6 + 2)
