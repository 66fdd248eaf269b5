"""How many images an evaluation has seen."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torchmetrics import SumMetric

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.models import Model
from lightning_gans.runs.metrics_csv import SAMPLES


class SampleCount(Measurement):
    """``evaluation/samples``: the number of real images.

    All models have it, so it marks the rows of a log that are evaluations.
    """

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return True

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        self.count = SumMetric().to(model.device)

    def update(self, batch: EvaluationBatch) -> None:
        self.count.update(len(batch.images))

    def results(self) -> Mapping[str, Tensor]:
        return {SAMPLES: self.count.compute()}
