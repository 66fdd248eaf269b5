"""A discriminator that sees how much its batch varies, for mixed batches (thesis, 3.1.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.ranges import HeadWidth, Width, checked

from .build import build_discriminator
from .discriminator_output import DiscriminatorOutput, Heads
from .factories import DiscriminatorFactory
from .layers import EqualizedLinear


class BatchStdLinear(nn.Module):
    """Linear layer on each row and on the standard deviation of every feature in the batch.

    y = (W₁·x + W₂·std(x)) / √2 + b, with std(x) = sqrt(variance over the batch + 1e-8), the same
    for all rows (thesis, section 4.1.2). W₁ and W₂ have an equalised learning rate. The published
    code never trains b; here it is trained.

    Args:
        in_features: width of the input.
        out_features: width of the output.
    """

    @checked
    def __init__(self, in_features: Width, out_features: Width) -> None:
        super().__init__()
        self.each = EqualizedLinear(in_features, out_features, bias=False)
        self.spread = EqualizedLinear(in_features, out_features, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch (N, in_features) to (N, out_features)."""
        # the gradient of the square root is infinite at 0
        std = (x.var(0, correction=0, keepdim=True) + 1e-8).sqrt()
        y: Tensor = (self.each(x) + self.spread(std)) / math.sqrt(2) + self.bias
        return y


class BatchStdDiscriminator(nn.Module):
    """Any discriminator, with its heads replaced by a ``BatchStdLinear`` and new heads.

    Its output for a sample depends on the rest of the batch, of this process only. A gradient
    penalty therefore includes the derivatives of a sample's score by the others' pixels.

    Args:
        image_shape: shape of one sample.
        scores: number of scores.
        code_dim: width of the code.
        trunk: makes the discriminator that computes the features; None for the default.
        width: units of the ``BatchStdLinear``; the width of the features.
    """

    @checked
    def __init__(
        self,
        image_shape: tuple[Width, ...],
        scores: HeadWidth = 1,
        code_dim: HeadWidth = 0,
        *,
        trunk: DiscriminatorFactory | None = None,
        width: Width = 512,
    ) -> None:
        super().__init__()
        self.trunk = build_discriminator(trunk, image_shape, 0, 0)
        self.layer = BatchStdLinear(_count_features(self.trunk, image_shape), width)
        self.heads = Heads(width, scores, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        """Scores, codes and features of samples (N, *image_shape)."""
        features = self.layer(self.trunk(x).features)
        output: DiscriminatorOutput = self.heads(functional.leaky_relu(features, 0.2))
        return output


@torch.no_grad()
def _count_features(discriminator: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Measure the width of a discriminator's features, without a change of its buffers."""
    training = [module for module in discriminator.modules() if module.training]
    output: DiscriminatorOutput = discriminator.eval()(torch.zeros(2, *image_shape))
    for module in training:
        module.training = True
    return output.features.shape[1]
