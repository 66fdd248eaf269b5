"""Feature extractors without files of weights, and small images for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gans.data.tensors import TensorImages
from lightning_gans.metrics import FeatureExtractor

COUNT, WIDTH = 60, 6


class Projection(FeatureExtractor):
    """A random linear map of images of 4 × 4."""

    name = "projection"
    num_features = WIDTH

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _load(self, device: torch.device) -> None:
        torch.manual_seed(self.seed)
        self._network = nn.Linear(16, WIDTH).requires_grad_(False)

    def _extract(self, images: Tensor) -> Tensor:
        features: Tensor = self._network(images.flatten(1) / 255)
        return features


def random_pixels(count: int = COUNT, seed: int = 0) -> Tensor:
    """Random images of 4 × 4, uint8."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)


def random_images(seed: int = 0) -> TensorImages:
    """Random images of 4 × 4 as a data set of one class."""
    return TensorImages(random_pixels(seed=seed), torch.zeros(COUNT, dtype=torch.int64))


def prepared(seed: int = 0) -> Projection:
    """A projection that is ready to use on the CPU."""
    extractor = Projection(seed)
    extractor.prepare("cpu")
    return extractor


class Pixels(FeatureExtractor):
    """Every pixel is a feature."""

    name = "pixels"
    num_features = 16

    def _load(self, device: torch.device) -> None:
        pass

    def _extract(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class NoSSIM(torch.nn.Module):
    """In place of SSIM, whose window is larger than images of 4 × 4."""

    window = 0

    def update(self, images: Tensor, reconstructions: Tensor) -> None:
        pass

    def compute(self) -> Tensor:
        return torch.zeros(())
