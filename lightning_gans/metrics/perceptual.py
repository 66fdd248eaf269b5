"""LPIPS, the distance of images that is closest to what people see, where its weights are."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from lightning_gans.metrics.features import FeaturesUnavailable

WEIGHTS = "alexnet-owt-7be5be79.pth"
URL = f"https://download.pytorch.org/models/{WEIGHTS}"
# smaller images have no second pooling in AlexNet
SMALLEST = 31
BATCH = 100


def lpips_network() -> nn.Module:
    """LPIPS with AlexNet's features, from torchmetrics; never downloads anything.

    Source: Zhang et al. 2018, version 0.1.

    Raises:
        FeaturesUnavailable: if AlexNet's weights are not in PyTorch's cache.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not file.is_file():
        raise FeaturesUnavailable(f"AlexNet's weights are not at {file}; {URL} has them")
    # imported here, because it takes time
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity  # noqa: PLC0415

    try:
        # torchvision reads the file: only tensors may be in it
        torch.load(file, map_location="cpu", weights_only=True)
        return LearnedPerceptualImagePatchSimilarity(
            "alex", reduction="mean", sync_on_compute=False
        )
    # a damaged file may raise anything
    except Exception as error:
        raise FeaturesUnavailable(f"{file} is damaged ({type(error).__name__}); {URL}") from None


@torch.no_grad()
def lpips(network: nn.Module, images: Tensor, reconstructions: Tensor) -> float:
    """The mean distance of pairs (n, 1 or 3, height, width) in [-1, 1]; 0 for equal ones.

    Values outside are clamped; grey images are repeated to three channels.
    """
    total = 0.0
    for start in range(0, len(images), BATCH):
        pair = (
            x[start : start + BATCH].float().clamp(-1, 1).expand(-1, 3, -1, -1)
            for x in (reconstructions, images)
        )
        total += float(network(*pair)) * len(images[start : start + BATCH])
    return total / len(images)
