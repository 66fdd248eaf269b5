"""How a class-conditional model distributes its categories."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.models import Model
from lightning_gans.priors import Categories


class CategoryUsage(Measurement):
    """``categories/entropy`` of P(C), in nats, and ``categories/used``, those of at least 1 %."""

    categories: Categories

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return model.categories is not None

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        assert model.categories is not None
        self.categories = model.categories

    def update(self, batch: EvaluationBatch) -> None:
        """Nothing to do: P(C) is known without images."""

    def results(self) -> Mapping[str, Tensor]:
        used = (self.categories.probabilities >= 0.01).sum()
        return {"categories/entropy": self.categories.entropy(), "categories/used": used}
