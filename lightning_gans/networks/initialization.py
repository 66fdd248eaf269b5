"""Initial weights that several networks share; use with ``network.apply``."""

from __future__ import annotations

from torch import nn


def glorot(layer: nn.Module) -> None:
    """Uniform weights of variance 2 / (fan-in + fan-out); biases 0 (Glorot & Bengio 2010)."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
