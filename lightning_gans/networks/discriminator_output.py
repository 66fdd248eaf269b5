"""The output of a discriminator, and the heads that compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_gans.ranges import HeadWidth, Width, checked


class DiscriminatorOutput(NamedTuple):
    """The output of every discriminator: ``discriminator(x) -> DiscriminatorOutput``.

    A head that a method does not use is not built, and its entry is empty, of width 0.

    Attributes:
        score: real (high) or fake (low), any real number. (N,) for one score, else (N, scores).
        code: the predicted latent, or logits of classes, (N, code_dim).
        features: the layer before the heads, flattened, (N, num_features).
    """

    score: Tensor
    code: Tensor
    features: Tensor


class Heads(nn.Module):
    """Linear heads on a shared backbone's features.

    Args:
        num_features: width of the features.
        scores: how many scores; 0 builds no score head.
        code_dim: width of the code; 0 builds no code head.
        linear: makes a layer from (inputs, outputs), of the same kind as the backbone's.
    """

    @checked
    def __init__(
        self,
        num_features: Width,
        scores: HeadWidth = 1,
        code_dim: HeadWidth = 0,
        linear: Callable[[int, int], nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.score = linear(num_features, scores) if scores else None
        self.code = linear(num_features, code_dim) if code_dim else None
        self._one_score = scores == 1

    def forward(self, features: Tensor) -> DiscriminatorOutput:
        """Map flattened features (N, num_features) to scores and codes."""
        # not len(), which an export would fix to the number of its example
        empty = features.new_zeros(features.shape[0], 0)
        score = self.score(features) if self.score is not None else empty
        code = self.code(features) if self.code is not None else empty
        score, code = at_least_float32(score), at_least_float32(code)
        return DiscriminatorOutput(score.squeeze(1) if self._one_score else score, code, features)


def at_least_float32(values: Tensor) -> Tensor:
    """Values in float32 or more: probabilities and losses are too coarse in half precision."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
