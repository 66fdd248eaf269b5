"""How well latents are recovered from fakes, and how many of their dimensions are used."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.metrics import LatentLoss, active_dimensions, latent_entropy
from lightning_gans.models import Generates, Model, Reconstructs
from lightning_gans.priors import DynamicScale, Prior


class LatentRecovery(Measurement):
    """``latent/loss`` and ``latent/entropy``, of models that generate and reconstruct.

    The first is L_enc, the mean squared error of the scaled codes of fakes; the second is the
    differential entropy of the scaled latent z∘s, in nats.
    """

    prior: Prior

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Generates) and isinstance(model, Reconstructs)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        assert isinstance(model, Generates)
        self.prior = model.prior
        self.loss = LatentLoss().to(model.device)

    def update(self, batch: EvaluationBatch) -> None:
        assert isinstance(batch.model, Reconstructs)
        # the encoder sees what it sees in training: what the generator makes, before clipping
        code = batch.model.encoding(batch.unclipped_fakes).code
        self.loss.update(batch.latents[0], code, self.prior.scale())

    def results(self) -> Mapping[str, Tensor]:
        entropy = latent_entropy(self.prior.entropy, self.prior.scale())
        return {"latent/loss": self.loss.compute(), "latent/entropy": entropy}


class ActiveDimensions(Measurement):
    """``latent/active``: the number of latent dimensions in use, of models with a dynamic scale."""

    prior: DynamicScale

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        return isinstance(model, Generates) and isinstance(model.prior, DynamicScale)

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        assert isinstance(model, Generates)
        assert isinstance(model.prior, DynamicScale)
        self.prior = model.prior

    def update(self, batch: EvaluationBatch) -> None:
        """Nothing to do: it is known without images."""

    def results(self) -> Mapping[str, Tensor]:
        return {"latent/active": active_dimensions(self.prior.v)}
