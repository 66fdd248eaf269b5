"""What a user adds to an evaluation, and what measurements share."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from lightning_gans.callbacks import Evaluation
from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.callbacks.measurements import (
    EvaluationBatch,
    Measurement,
    SampleCount,
)
from lightning_gans.data import DataModule
from lightning_gans.models import GAN, Encodes, Generates, Model
from tests.support.features import Pixels
from tests.support.models import tiny_dlsgan
from tests.support.rounds import one_by_one
from tests.support.training import data, points, trainer


class Spread(Measurement):
    """The mean square of fake points, and whether all validation points were measured."""

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Generates)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.mean = MeanMetric().to(model.device)
        self.complete = complete

    def update(self, batch: EvaluationBatch) -> None:
        self.mean.update(batch.fakes.square())

    def results(self) -> Mapping[str, Tensor]:
        return {"spread/fake": self.mean.compute(), "complete": torch.tensor(self.complete)}


class OfEncoders(Spread):
    """Applies to nothing that cannot encode."""

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Encodes)


def test_a_users_own_measurement_is_logged_by_training(tmp_path: Path) -> None:
    model = points(GAN)
    evaluation = Evaluation(measurements=[Spread()])
    run = trainer(tmp_path, evaluation, max_steps=4, val_check_interval=2)
    run.fit(model, data())
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["spread/fake"]]
    assert [int(row["step"]) for row in rows] == [2, 4]
    assert all(float(row["complete"]) == 1 for row in rows)
    assert isinstance(model, Generates)
    # the last value is of these weights
    latents = FixedDraws(model.prior, None, "cpu").take(range(16))
    plain = float(model.decode(*latents).square().mean())
    assert float(run.callback_metrics["spread/fake"]) == pytest.approx(plain, rel=1e-5)


def test_a_part_of_the_data_is_not_complete(tmp_path: Path) -> None:
    run = trainer(tmp_path, Evaluation(measurements=[Spread()]), limit_val_batches=1)
    run.validate(points(GAN), data(), verbose=False)
    assert run.callback_metrics["complete"] == 0
    assert run.callback_metrics["evaluation/samples"] == 8


def test_a_measurement_is_taken_only_of_models_that_it_applies_to(tmp_path: Path) -> None:
    run = trainer(tmp_path, Evaluation(measurements=[OfEncoders()]))
    run.validate(points(GAN), data(), verbose=False)
    assert set(run.callback_metrics) == {"evaluation/samples", "step"}


def test_two_measurements_cannot_have_one_name(tmp_path: Path) -> None:
    run = trainer(tmp_path, Evaluation(measurements=[SampleCount()]))
    with pytest.raises(ValueError, match="both report evaluation/samples"):
        run.validate(points(GAN), data(), verbose=False)


def test_what_measurements_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_dlsgan().float().eval()
    calls: list[str] = []
    for part in ("generator", "discriminator"):
        module = getattr(model, part)
        module.register_forward_hook(lambda *_, name=part: calls.append(name))
    extractor = Pixels()
    extractor.prepare("cpu")
    draws = FixedDraws(model.prior, None, "cpu")
    batch = EvaluationBatch(model, torch.zeros(5, 1, 4, 4), torch.zeros(5), range(5), draws)
    assert calls == []
    with torch.no_grad():
        assert torch.equal(batch.fakes, model.decode(*draws.take(range(5))))
        calls.clear()
        for _ in range(2):
            assert batch.fakes.shape == batch.fake_reconstructions.shape == (5, 1, 4, 4)
            assert batch.features(extractor, real=False).shape == (5, 16)
        # one pass of the encoder and one of the generator for the reconstructions
        assert sorted(calls) == ["discriminator", "generator"]


def test_a_model_is_not_asked_for_what_it_cannot_do() -> None:
    model = points(GAN)
    batch = EvaluationBatch(model, torch.zeros(2, 2), torch.zeros(2), range(2), None)
    with pytest.raises(TypeError, match="GAN does not reconstruct; a measurement that needs it"):
        _ = batch.reconstructions
    with pytest.raises(TypeError, match="GAN does not generate"):
        _ = batch.fakes


@pytest.mark.parametrize(
    ("count", "found", "warning"),
    [
        (1, set(), r"FID \(.* got 1 real and 1 fake\); KID \(.*\); precision and recall \(.*k=3"),
        (3, {"fid", "kid"}, r"precision and recall with k=3 need at least 4 .* got 3 real"),
        (4, {"fid", "kid", "precision", "recall"}, r"density .* need at least 6 real samples\)$"),
        (6, {"fid", "kid", "precision", "recall", "density", "coverage"}, None),
    ],
)
def test_a_held_out_set_smaller_than_a_metric_needs_is_measured_as_far_as_it_goes(
    count: int, found: set[str], warning: str | None, tmp_path: Path
) -> None:
    """As with fast_dev_run and a batch of 4, where training ended before its first iteration."""
    model = tiny_dlsgan()
    images = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    runner = trainer(tmp_path, Evaluation(Pixels(), k=3))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):
            runner.validate(model, one_by_one([(images, torch.zeros(count).long())]), verbose=False)
    values = runner.callback_metrics
    assert {name.partition("/")[0] for name in values if name.endswith("/pixels")} == found
    assert all(bool(value.isfinite()) for value in values.values())
    assert {"psnr/real", "psnr/fake", "latent/loss"} <= values.keys()
    assert "ssim/real" not in values  # images of 4 x 4 are smaller than its window
    lines = [str(warning.message) for warning in said]
    assert sum("ssim is not measured" in line for line in lines) == 1
    few = [line for line in lines if line.startswith("not measured on so few images")]
    assert len(few) == (warning is not None)  # once, not at every evaluation
    assert warning is None or re.search(warning, few[0])
