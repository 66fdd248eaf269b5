"""Metrics of images, latents and labels, and the features of images that some of them compare."""

from __future__ import annotations

from lightning_gans.metrics.features import (
    DigitFeatures,
    FeatureExtractor,
    FeaturesUnavailable,
    ImageFeatures,
    InceptionFeatures,
    RandomFeatures,
)
from lightning_gans.metrics.fingerprint import fingerprint
from lightning_gans.metrics.frechet import FrechetDistance
from lightning_gans.metrics.image_quality import PSNR, SSIM
from lightning_gans.metrics.kernel import KernelDistance, SubsetKernelDistance
from lightning_gans.metrics.label_agreement import Accuracy, Purity
from lightning_gans.metrics.latent import LatentLoss, active_dimensions, latent_entropy
from lightning_gans.metrics.precision_recall import PrecisionRecall
from lightning_gans.metrics.quantize import from_uint8, to_uint8
from lightning_gans.metrics.real_statistics import RealStatistics
from lightning_gans.metrics.two_sample import TooFewSamples

__all__ = [
    "PSNR",
    "SSIM",
    "Accuracy",
    "DigitFeatures",
    "FeatureExtractor",
    "FeaturesUnavailable",
    "FrechetDistance",
    "ImageFeatures",
    "InceptionFeatures",
    "KernelDistance",
    "LatentLoss",
    "PrecisionRecall",
    "Purity",
    "RandomFeatures",
    "RealStatistics",
    "SubsetKernelDistance",
    "TooFewSamples",
    "active_dimensions",
    "fingerprint",
    "from_uint8",
    "latent_entropy",
    "to_uint8",
]
