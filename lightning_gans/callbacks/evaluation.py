"""Measures a model on the validation or test set, with its averaged weights."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torchmetrics import Metric, SumMetric

from lightning_gans.callbacks.fixed_draws import FixedDraws
from lightning_gans.data import DataModule
from lightning_gans.data.sampling import Share
from lightning_gans.distributed.collectives import any_rank
from lightning_gans.errors import UserError
from lightning_gans.metrics import (
    PSNR,
    SSIM,
    Accuracy,
    FeatureExtractor,
    FeaturesUnavailable,
    FrechetDistance,
    KernelDistance,
    LatentLoss,
    PrecisionRecall,
    Purity,
    RealStatistics,
    active_dimensions,
    latent_entropy,
    to_uint8,
)
from lightning_gans.models.base.capabilities import (
    Classifies,
    Clusters,
    Encodes,
    Generates,
    Reconstructs,
)
from lightning_gans.models.base.model import Batch, Model
from lightning_gans.priors import DynamicScale
from lightning_gans.validation import clip


class Evaluation(Callback):
    """FID, precision and recall, reconstructions and the latent, on one fake for each real image.

    It measures whenever Lightning validates or tests: before the first iteration, every
    ``trainer.val_check_interval`` iterations, and by ``train.py validate`` or ``test``. The fakes
    are the same in every evaluation, however many processes share it, and drawing them leaves
    training's random numbers alone.

    Logged, from one pass of the features: ``fid/<features>``, ``kid/<features>``,
    ``precision/<features>``, ``recall/<features>``, ``density/<features>`` and
    ``coverage/<features>``; for models with an encoder ``psnr/fake``, ``ssim/fake`` (fakes against
    their reconstructions), ``psnr/real``,
    ``ssim/real`` (held-out images against theirs), ``latent/loss`` (L_enc), ``latent/entropy``
    (of z∘s, nats), ``latent/active`` (dimensions in use); for models with categories
    ``categories/entropy`` (of P(C), nats) and ``categories/used`` (of at least 1 %), for those
    that cluster ``cluster/purity`` against the labels of the data, if there are any, for those that
    classify ``accuracy``; and ``evaluation/samples``.

    Args:
        features: what FID, KID, precision, recall, density and coverage see; without, they are not
            measured.
        k: neighbours that precision and recall look at.
        required: whether training is refused, before its first iteration, if the weights of the
            features are not to be had; if not, the rest is measured and a warning says so.
        cache: folder in which features of real images are kept for all runs; ``null`` is
            ``lightning_gans`` in the user's cache. Only evaluations of all images use it.
        block: features of images that are compared with as many others at a time, by KID and by
            precision and its kin; what bounds their memory.
    """

    def __init__(
        self,
        features: FeatureExtractor | None = None,
        k: int = 3,
        required: bool = True,
        cache: str | None = None,
        block: int = 2048,
    ) -> None:
        if block < 1:
            raise ValueError(f"expected block >= 1 images, got {block}")
        self.features, self.k, self.required, self.cache = features, k, required, cache
        self.block = block
        self.metrics: dict[str, Metric] = {}
        # those among the metrics that compare features of real images with those of fakes
        self.compared: list[FrechetDistance | KernelDistance | PrecisionRecall] = []
        self.kept: RealStatistics | None = None
        self.whole = False  # whether all images are measured
        self.known = (
            False  # whether the features of the real ones were kept by an evaluation before
        )
        self.draws: FixedDraws | None = None
        self.seen = range(0)  # the indices of the images that this process has measured
        self.measured_at: int | None = None  # iterations made at the last evaluation

    def start(self, trainer: Trainer, model: Model) -> None:
        """Make fresh metrics, and draw from the first latent on."""
        # the data module gives each process every so many-th image
        self.seen = range(trainer.global_rank, trainer.global_rank, trainer.world_size)
        self.metrics = {"evaluation/samples": SumMetric()}
        if self.features is not None and len(model.image_shape) != 3:
            raise UserError(
                f"evaluation.features={self.features.name} are features of images, and the data "
                f"are points of shape {model.image_shape}; leave evaluation.features out"
            )
        generates, inverts = isinstance(model, Generates), isinstance(model, Reconstructs)
        if isinstance(model, Generates):
            self.draws = FixedDraws(model.prior, model.categories, model.device)
        self.compared = []
        if self.features is not None and generates and self.prepare(model.device):
            fid, kid = FrechetDistance(self.features.num_features), KernelDistance(self.block)
            manifolds = PrecisionRecall(self.k, self.block)
            self.metrics |= {"fid": fid, "kid": kid, "precision": manifolds}
            self.compared = [fid, kid, manifolds]
        if generates and inverts:
            self.metrics["latent/loss"] = LatentLoss()
        if inverts and len(model.image_shape) == 3:
            for name in ("fake", "real") if generates else ("real",):
                self.metrics |= {f"psnr/{name}": PSNR(), f"ssim/{name}": SSIM()}
        data = getattr(trainer, "datamodule", None)
        if isinstance(model, Clusters) and getattr(data, "classes", None):
            self.metrics["cluster/purity"] = Purity()
        if isinstance(model, Classifies):
            self.metrics["accuracy"] = Accuracy()
        for metric in self.metrics.values():
            metric.to(model.device)
        self.whole, self.known = False, False
        if self.compared and isinstance(data, DataModule):
            self.recall_real(trainer, data)

    def recall_real(self, trainer: Trainer, data: DataModule) -> None:
        """Take what is known of the real images, if all of them are measured."""
        assert self.features is not None
        count = len(cast(Sized, data.validation_set))
        share = len(Share(count, trainer.global_rank, trainer.world_size))
        batches = trainer.num_val_batches
        if trainer.sanity_checking:
            batches = trainer.num_sanity_val_batches
        elif trainer.testing:
            batches = trainer.num_test_batches
        measured = sum(batches) * data.batch_size >= share
        # all processes, or none: shares may differ by one image
        self.whole = not any_rank(not measured, trainer.strategy.root_device)
        if not self.whole:
            return
        if self.kept is None:
            self.kept = RealStatistics(data.validation_set, self.features, count, self.cache)
        self.known = self.kept.load(*self.compared)

    def prepare(self, device: torch.device) -> bool:
        """Load the extractor's weights; if they may be missing and are, say so once and do without.

        Raises:
            UserError: if they are required and are not to be had.
        """
        assert self.features is not None
        try:
            self.features.prepare(device)
        except FeaturesUnavailable as error:
            if self.required:
                raise UserError(
                    f"{error}; or train without FID and its kin: evaluation.required=false"
                ) from error
            rank_zero_warn(f"FID, KID, precision, recall and their kin are not measured: {error}")
            self.features = None
            return False
        return True

    @torch.no_grad()
    def measure(self, model: Model, x: Tensor, labels: Tensor) -> None:
        """Take in real images x, (n, *image_shape), with their labels, and as many fakes."""
        first, step = self.seen.stop, self.seen.step
        now = range(first, first + len(x) * step, step)
        self.seen = range(self.seen.start, now.stop, step)
        self.metrics["evaluation/samples"].update(len(x))
        images = {"real": x}
        if self.draws is not None and isinstance(model, Generates):
            z, *c = self.draws.take(now)
            if "latent/loss" in self.metrics and isinstance(model, Encodes):
                s = model.prior.scale()
                y = model.generator(z * s)
                self.metrics["latent/loss"].update(z, model.encoding(y).code, s)
                images["fake"] = clip(y)
            elif "fid" in self.metrics:
                images["fake"] = model.decode(z, *c)
        for name, picture in images.items():
            if f"psnr/{name}" in self.metrics and isinstance(model, Reconstructs):
                again = model.reconstruct(picture)
                self.metrics[f"psnr/{name}"].update(picture, again)
                self.metrics[f"ssim/{name}"].update(picture, again)
        if "cluster/purity" in self.metrics and isinstance(model, Clusters):
            self.metrics["cluster/purity"].update(model.cluster(x), labels)
        if "accuracy" in self.metrics and isinstance(model, Classifies):
            self.metrics["accuracy"].update(model.classify(x), labels)
        if "fid" in self.metrics and self.features is not None:
            for name, picture in images.items():
                if name == "real" and self.known:
                    continue
                features = self.features(to_uint8(picture))
                for metric in self.compared:
                    metric.update(features, real=name == "real")

    def results(self, model: Model) -> dict[str, Tensor]:
        """All that was measured, by the names under which it is logged."""
        values: dict[str, Tensor] = {}
        if self.whole and not self.known and self.kept is not None:
            self.kept.save(*self.compared)
        for name, metric in self.metrics.items():
            if name in ("fid", "kid"):
                assert self.features is not None
                values[f"{name}/{self.features.name}"] = metric.compute()
            elif name == "precision":
                assert self.features is not None
                for side, value in metric.compute().items():
                    values[f"{side}/{self.features.name}"] = value
            else:
                values[name] = metric.compute()
        if model.categories is not None:
            p = model.categories.probabilities
            values["categories/entropy"] = model.categories.entropy()
            values["categories/used"] = (p >= 0.01).sum()
        if "latent/loss" in self.metrics and isinstance(model, Generates):
            values["latent/entropy"] = latent_entropy(model.prior.entropy, model.prior.scale())
        if isinstance(model, Generates) and isinstance(model.prior, DynamicScale):
            values["latent/active"] = active_dimensions(model.prior.v)
        return {name: value.float() for name, value in values.items()}

    def finish(self, trainer: Trainer, model: Model) -> None:
        """Compute and log."""
        values = self.results(model)
        self.measured_at = model.iterations
        model.log_dict({**values, "step": torch.tensor(float(model.iterations))})
        if trainer.sanity_checking and trainer.global_step == 0:
            # Lightning logs nothing before training; the state at step 0 is what all is held to
            for logger in trainer.loggers:
                logger.log_metrics({name: float(value) for name, value in values.items()}, step=0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notice before the first iteration if the weights of the features are not to be had."""
        assert isinstance(pl_module, Model)
        if self.features is not None and isinstance(pl_module, Generates):
            self.prepare(pl_module.device)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        self.start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(pl_module, Model)
        self.measure(pl_module, *batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Model)
        self.finish(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_validation_epoch_end(trainer, pl_module)
