"""What several tests of metrics share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in the form of torch-fidelity's."""
    path: Path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda url, progress: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda net, _: None)
        torch.manual_seed(0)
        network = fidelity.FeatureExtractorInceptionV3("inception", ["2048"], verbose=False)
    torch.save(network.state_dict(), path)
    return path
