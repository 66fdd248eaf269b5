"""The base of everything that an evaluation measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.data import DataModule
from lightning_gans.models import Model


class Measurement(ABC):
    """Something that is measured of a model on the validation set.

    An evaluation calls ``applies_to``, then ``start``, then ``update`` with every batch of this
    process, then ``results``, which all processes call at the same point. The mean brightness of
    fakes::

        class Brightness(Measurement):
            def applies_to(self, model, data):
                return isinstance(model, Generates)

            def start(self, model, data, complete):
                self.mean = MeanMetric().to(model.device)

            def update(self, batch):
                self.mean.update(batch.fakes)

            def results(self):
                return {"brightness": self.mean.compute()}

        Evaluation(measurements=[Brightness()])
    """

    said: str | None = None  # the last warning

    def warn_once(self, line: str) -> None:
        """Give a warning, unless the evaluation before has given it."""
        if line != self.said:
            rank_zero_warn(line)
        self.said = line

    @abstractmethod
    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        """Whether this can be measured; also called before training, so that it can fail early.

        Args:
            model: that is to be measured.
            data: that it is measured on; None if they are no data module of this package.

        Raises:
            UserError: if it was asked for and cannot be measured.
        """

    @abstractmethod
    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        """Begin an evaluation, and forget the one before.

        Args:
            model: that is measured.
            data: that it is measured on; None if they are no data module of this package.
            complete: whether the batches of all processes will be the whole validation set.
        """

    @abstractmethod
    def update(self, batch: EvaluationBatch) -> None:
        """Take in a batch."""

    @abstractmethod
    def results(self) -> Mapping[str, Tensor]:
        """Scalars over the batches of all processes, by the names under which they are logged."""
