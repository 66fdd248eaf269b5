"""How fakes compare with real images, seen through the features of a fixed network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import cast

import torch
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.data import DataModule
from lightning_gans.errors import UserError
from lightning_gans.metrics import (
    FeatureExtractor,
    FeaturesUnavailable,
    FrechetDistance,
    ImageFeatures,
    KernelDistance,
    PrecisionRecall,
    RandomFeatures,
    RealStatistics,
    TooFewSamples,
)
from lightning_gans.models import Generates, Model
from lightning_gans.ranges import PositiveInt, checked


class SampleQuality(Measurement):
    """``fid``, ``kid``, ``precision``, ``recall``, ``density`` and ``coverage``, in one pass.

    The name of the features follows each name, as in ``fid/inception``. Of models that generate
    images. Statistics of the real images are computed once and kept in files. What needs more
    images than there are is left out, and a warning names it.

    Args:
        features: the extractor; None measures nothing.
        k: which nearest neighbour gives the radius for precision and recall.
        required: whether missing weights of the extractor are an error; if not, they are a warning.
        cache: folder of the files; None is ``lightning_gans`` in the user's cache folder.
        block: images that are compared with as many others at a time, which bounds the memory.
    """

    @checked
    def __init__(
        self,
        features: FeatureExtractor | None,
        k: PositiveInt = 3,
        required: bool = True,
        cache: str | None = None,
        block: PositiveInt = 2048,
    ) -> None:
        self.features, self.k, self.required = features, k, required
        self.cache, self.block = cache, block
        self.told = False  # whether the choice of features has been told
        self.kept: RealStatistics | None = None
        self.to_keep = False  # whether the real statistics of this evaluation are to be stored
        self.known = False  # whether they were stored by an earlier one, so that none is computed

    def applies_to(self, model: Model, data: DataModule | None) -> bool:
        if self.features is None:
            return False
        if len(model.image_shape) != 3:
            raise UserError(
                f"evaluation.features={self.features.name} are features of images, and the data "
                f"are points of shape {model.image_shape}; set evaluation.features=null"
            )
        return isinstance(model, Generates) and self._prepare(self.features, model.device)

    def _prepare(self, features: FeatureExtractor, device: torch.device) -> bool:
        """Load the extractor's weights; warn once if they are missing and not required.

        Raises:
            UserError: if they are missing and required.
        """
        try:
            features.prepare(device)
        except FeaturesUnavailable as error:
            if self.required:
                raise UserError(
                    f"{error}; or train without FID and related metrics: evaluation.required=false"
                ) from error
            rank_zero_warn(
                f"FID, KID, precision, recall, density and coverage are not measured: {error}"
            )
            self.features = None
            return False
        if isinstance(features, ImageFeatures) and features.name == RandomFeatures.name:
            self.tell_once(
                f"FID and the like use features of a random network (fid/{features.name}): "
                "Inception's weights are not on this machine, and "
                "evaluation.features=InceptionFeatures downloads them"
            )
        return True

    def tell_once(self, line: str) -> None:
        """Print a line, unless it has been printed."""
        if not self.told:
            rank_zero_info(line)
        self.told = True

    @property
    def choice(self) -> str | None:
        """Name of the features that were chosen among those of images; None if none were."""
        return self.features.choice if isinstance(self.features, ImageFeatures) else None

    def keep(self, choice: object) -> None:
        """Keep to the choice of a run that resumes, as its checkpoint tells it."""
        if isinstance(self.features, ImageFeatures) and choice in ("inception", "random"):
            self.features.choice = "inception" if choice == "inception" else "random"
            self.features.chosen = None

    def start(self, model: Model, data: DataModule | None, complete: bool) -> None:
        assert self.features is not None
        self.fid = FrechetDistance(self.features.num_features).to(model.device)
        self.kid = KernelDistance(self.block).to(model.device)
        self.manifolds = PrecisionRecall(self.k, self.block).to(model.device)
        self.metrics = (self.fid, self.kid, self.manifolds)
        self.known = self.to_keep = False
        if not complete or data is None:
            return
        if self.kept is None:
            count = len(cast(Sized, data.validation_set))
            self.kept = RealStatistics(data.validation_set, self.features, count, self.cache)
        self.known = self.kept.load(*self.metrics)
        self.to_keep = not self.known

    def update(self, batch: EvaluationBatch) -> None:
        assert self.features is not None
        for real in (False,) if self.known else (True, False):
            for metric in self.metrics:
                metric.update(batch.features(self.features, real), real=real)

    def results(self) -> Mapping[str, Tensor]:
        assert self.features is not None
        if self.to_keep and self.kept is not None:
            self.kept.save(*self.metrics)
        values: dict[str, Tensor] = {}
        reasons: list[str] = []
        measures: dict[str, Callable[[], Mapping[str, Tensor]]] = {
            "FID": lambda: {"fid": self.fid.compute()},
            "KID": lambda: {"kid": self.kid.compute()},
            "precision and recall": self.manifolds.compute,
        }
        for name, measure in measures.items():
            try:
                values.update(measure())
            except TooFewSamples as error:
                reasons.append(f"{name} ({error})")
        if "precision" in values and "density" not in values:
            most = self.manifolds.density_k
            reasons.append(f"density and coverage (they need at least {most + 1} real samples)")
        if reasons:
            self.warn_once(f"not measured on so few images: {'; '.join(reasons)}")
        return {f"{name}/{self.features.name}": value for name, value in values.items()}
