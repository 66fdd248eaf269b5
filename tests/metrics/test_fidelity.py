"""The whole way from images to moments is torch-fidelity's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.metric_fid import fid_input_id_to_statistics
from torch_fidelity.utils import create_feature_extractor

from lightning_gans.metrics import FrechetDistance, InceptionFeatures, to_uint8
from lightning_gans.metrics.moments import mean_and_covariance


class Levels(Dataset[Tensor]):
    """Pictures as torch-fidelity takes them."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]


@pytest.mark.filterwarnings("ignore")
def test_images_become_the_moments_that_torch_fidelity_has(
    inception_weights: Path,
) -> None:
    images = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    extractor = InceptionFeatures(str(inception_weights))
    extractor.prepare("cpu")
    distance = FrechetDistance(extractor.num_features)
    for part in torch.split(images, 2):
        distance.update(extractor(to_uint8(part)), real=True)
    mean, covariance = mean_and_covariance(distance.real)

    settings: dict[str, object] = {"cuda": False, "verbose": False, "cache": False, "batch_size": 2}
    settings |= {"feature_extractor_weights_path": str(inception_weights), "save_cpu_ram": True}
    theirs = create_feature_extractor("inception-v3-compat", ["2048"], **settings)
    levels = Levels((images * 127.5 + 128).clamp(0, 255).to(torch.uint8))
    expected = fid_input_id_to_statistics(
        1, theirs, "2048", input1=levels, feature_layer_fid="2048", **settings
    )
    assert covariance.trace() > 0
    for ours, name in ((mean, "mu"), (covariance, "sigma")):
        reference = torch.as_tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(
            ours, reference, rtol=1e-4, atol=float(reference.abs().max()) * 1e-5
        )
