"""Batch norm over the rows of all processes, also on the CPU and under gradient penalties.

The one in torch runs on GPUs only and cannot be differentiated twice, which R1 requires.
"""

from __future__ import annotations

from functools import partial

import torch
from lightning.pytorch.plugins import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from lightning_gans.distributed.collectives import global_sum


class SyncBatchNorm(LayerSync):
    """Gives batch norm the statistics of all processes: ``trainer.sync_batchnorm=true``.

    The layers are kept; only their forward pass in training is replaced. All processes must
    differentiate the same number of times, in the same order.
    """

    @override
    def apply(self, model: nn.Module) -> nn.Module:
        """Normalise over the rows of all processes in all batch norm layers of a model."""
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                layer.forward = partial(_normalized, layer)  # type: ignore[method-assign]
        return model

    @override
    def revert(self, model: nn.Module) -> nn.Module:
        """Normalise over the rows of each process again."""
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                layer.__dict__.pop("forward", None)
        return model


def _normalized(layer: _BatchNorm, x: Tensor) -> Tensor:
    """The layer's output for x, (n, channels, ...): Ioffe and Szegedy 2015, Algorithm 1."""
    layer._check_input_dim(x)  # type: ignore[no-untyped-call]
    if not layer.training:
        return type(layer).forward(layer, x)
    rows = x.to(torch.promote_types(x.dtype, torch.float32)).transpose(0, 1).flatten(1)
    count = global_sum(rows.new_full((), float(rows.shape[1])))
    mean = global_sum(rows.sum(1)) / count
    centred = rows - mean[:, None]
    variance = global_sum(centred.square().sum(1)) / count
    _learn(layer, mean, variance * count / (count - 1).clamp(min=1))
    y = centred / (variance + layer.eps).sqrt()[:, None]
    if layer.affine:
        y = y * layer.weight[:, None] + layer.bias[:, None]
    return y.view_as(x.transpose(0, 1)).transpose(0, 1).to(x.dtype)


@torch.no_grad()
def _learn(layer: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics, if the layer keeps them."""
    if layer.running_mean is None or layer.running_var is None:
        return
    assert layer.num_batches_tracked is not None
    layer.num_batches_tracked.add_(1)
    share = layer.momentum
    if share is None:  # the plain mean of all batches
        share = 1 / float(layer.num_batches_tracked)
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), share)
    layer.running_var.lerp_(variance.to(layer.running_var.dtype), share)
