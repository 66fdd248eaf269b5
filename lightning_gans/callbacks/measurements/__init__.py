"""What an evaluation measures of a model: one class for each idea.

A user's own is a subclass of :class:`Measurement`, given as ``Evaluation(measurements=[...])``.
"""

from lightning_gans.callbacks.measurements.batch import EvaluationBatch
from lightning_gans.callbacks.measurements.categories import CategoryUsage
from lightning_gans.callbacks.measurements.labels import ClassificationAccuracy, ClusterPurity
from lightning_gans.callbacks.measurements.latent import ActiveDimensions, LatentRecovery
from lightning_gans.callbacks.measurements.measurement import Measurement
from lightning_gans.callbacks.measurements.reconstruction_quality import ReconstructionQuality
from lightning_gans.callbacks.measurements.sample_count import SampleCount
from lightning_gans.callbacks.measurements.sample_quality import SampleQuality

__all__ = [
    "ActiveDimensions",
    "CategoryUsage",
    "ClassificationAccuracy",
    "ClusterPurity",
    "EvaluationBatch",
    "LatentRecovery",
    "Measurement",
    "ReconstructionQuality",
    "SampleCount",
    "SampleQuality",
]
