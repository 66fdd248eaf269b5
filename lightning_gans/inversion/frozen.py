"""Networks that are asked but neither trained nor changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode and without gradients for their weights; then as they were."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    frozen = [p for network in networks for p in network.parameters() if p.requires_grad]
    try:
        for network in networks:
            network.eval()
        for parameter in frozen:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in frozen:
            parameter.requires_grad_(True)
