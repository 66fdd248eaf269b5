"""Fréchet distances of single classes, and of reconstructions, on the features of a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.errors import UserError
from lightning_gans.metrics import (
    FeatureExtractor,
    FeaturesUnavailable,
    FrechetDistance,
    TooFewSamples,
    to_uint8,
)
from lightning_gans.models import Generates, Model, Reconstructs


class ClassDistance(Measurement):
    """``class_fid``, the mean over the classes of a FID, and ``class_fid_0``, ... of each class.

    Between the validation images of a class and the fakes of that condition, of class-conditional
    models whose conditions are the classes of the data's only label (thesis, Figs. 9 and 16). The
    name of the features follows each name, as in ``class_fid/digits``. A class of fewer than two
    images or fakes is left out, also of the mean, and a warning names it. It computes the features
    of the real images anew in each evaluation.

    Args:
        features: the extractor.
    """

    def __init__(self, features: FeatureExtractor) -> None:
        self.features = features

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        if not isinstance(model, Generates) or model.categories is None or data is None:
            return False
        if len(model.image_shape) != 3 or tuple(model.categories.classes) != tuple(data.classes):
            return False
        return len(data.classes) == 1 and prepared(self.features, model)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        assert data is not None
        width = self.features.num_features
        self.distances = [
            FrechetDistance(width).to(model.device) for _ in range(int(data.classes[0]))
        ]

    def update(self, batch: EvaluationBatch) -> None:
        _, condition = batch.latents
        for classes, real in ((batch.labels.flatten(), True), (condition.argmax(1), False)):
            features = batch.features(self.features, real)
            for k, distance in enumerate(self.distances):
                if (classes == k).any():
                    distance.update(features[classes == k], real=real)

    def results(self) -> Mapping[str, Tensor]:
        found: dict[int, Tensor] = {}
        reasons = []
        for k, distance in enumerate(self.distances):
            try:
                found[k] = distance.compute()
            except TooFewSamples as error:
                reasons.append(f"class {k} ({error})")
        if reasons:
            self.warn_once(f"class_fid is not measured of {'; '.join(reasons)}")
        if not found:
            return {}
        values = {"class_fid": torch.stack([*found.values()]).mean()}
        values |= {f"class_fid_{k}": value for k, value in found.items()}
        return {f"{name}/{self.features.name}": value for name, value in values.items()}


class ReconstructionDistance(Measurement):
    """``reconstruction_fid``: the FID of reconstructions of the validation images.

    Between these images and their reconstructions, of models that reconstruct images; for an
    autoencoder, which draws no images, it stands where the FID of a GAN does (Latent Space 2019,
    Fig. 4). The name of the features follows, as in ``reconstruction_fid/digits``.

    Args:
        features: the extractor.
    """

    def __init__(self, features: FeatureExtractor) -> None:
        self.features = features

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        images = isinstance(model, Reconstructs) and len(model.image_shape) == 3
        return images and prepared(self.features, model)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.distance = FrechetDistance(self.features.num_features).to(model.device)

    def update(self, batch: EvaluationBatch) -> None:
        self.distance.update(batch.features(self.features, real=True), real=True)
        self.distance.update(self.features(to_uint8(batch.reconstructions)), real=False)

    def results(self) -> Mapping[str, Tensor]:
        try:
            return {f"reconstruction_fid/{self.features.name}": self.distance.compute()}
        except TooFewSamples as error:
            self.warn_once(f"reconstruction_fid is not measured: {error}")
            return {}


def prepared(features: FeatureExtractor, model: Model) -> bool:
    """Load the extractor's weights; True.

    Raises:
        UserError: if they are not on this machine.
    """
    try:
        features.prepare(model.device)
    except FeaturesUnavailable as error:
        raise UserError(f"{error}; or leave this out of evaluation.measurements") from error
    return True
