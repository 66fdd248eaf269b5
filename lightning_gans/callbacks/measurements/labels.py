"""How predicted classes and found categories agree with the labels of the data."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.metrics import Accuracy, Purity
from lightning_gans.models import Classifies, Clusters, Model


class ClusterPurity(Measurement):
    """``cluster/purity`` against the labels of the data, of models that cluster."""

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Clusters) and data is not None and bool(data.classes)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.purity = Purity().to(model.device)

    def update(self, batch: EvaluationBatch) -> None:
        assert isinstance(batch.model, Clusters)
        self.purity.update(batch.model.cluster(batch.images), batch.labels)

    def results(self) -> Mapping[str, Tensor]:
        return {"cluster/purity": self.purity.compute()}


class ClassificationAccuracy(Measurement):
    """``accuracy``: the share of labels that are predicted correctly, of models that classify."""

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Classifies)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.accuracy = Accuracy().to(model.device)

    def update(self, batch: EvaluationBatch) -> None:
        assert isinstance(batch.model, Classifies)
        self.accuracy.update(batch.model.classify(batch.images), batch.labels)

    def results(self) -> Mapping[str, Tensor]:
        return {"accuracy": self.accuracy.compute()}
