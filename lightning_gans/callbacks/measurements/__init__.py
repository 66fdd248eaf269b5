"""What an evaluation measures of a model: one class for each idea.

A user's own is a subclass of :class:`Measurement`, given as ``Evaluation(measurements=[...])``.
"""

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.categories import CategoryUsage
from lightning_gans.callbacks.measurements.feature_distances import (
    ClassDistance,
    ReconstructionDistance,
)
from lightning_gans.callbacks.measurements.labels import ClassificationAccuracy, ClusterPurity
from lightning_gans.callbacks.measurements.latent import ActiveDimensions, LatentRecovery
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.callbacks.measurements.reconstruction_quality import ReconstructionQuality
from lightning_gans.callbacks.measurements.sample_count import SampleCount
from lightning_gans.callbacks.measurements.sample_quality import SampleQuality

# of every evaluation, after the number and the quality of samples; in the order of the log
STANDARD: tuple[type[Measurement], ...] = (
    LatentRecovery,
    ActiveDimensions,
    ReconstructionQuality,
    CategoryUsage,
    ClusterPurity,
    ClassificationAccuracy,
)

__all__ = [
    "STANDARD",
    "ActiveDimensions",
    "CategoryUsage",
    "ClassDistance",
    "ClassificationAccuracy",
    "ClusterPurity",
    "EvaluationBatch",
    "LatentRecovery",
    "Measurement",
    "ReconstructionDistance",
    "ReconstructionQuality",
    "SampleCount",
    "SampleQuality",
]
