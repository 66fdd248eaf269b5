"""Convolutions whose second derivatives are as cheap as their first.

PyTorch computes the second derivative of a convolution, which a gradient penalty needs, as a
convolution with kernels as large as whole feature maps, and as one such convolution for each group.
Here a derivative of any order is a convolution, its gradient by the input, or its gradient by the
weights, and nothing that is not needed is computed (the idea of ``conv2d_gradfix``, Karras et al.
2020, "Training Generative Adversarial Networks with Limited Data", published code).

Feature maps are (N, channels, height, width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.compat import gradients_needed


class Geometry(NamedTuple):
    """How a kernel moves over a feature map; the same along both axes.

    Attributes:
        stride: distance of neighbouring windows.
        padding: zeros on each side.
        groups: number of groups of channels, each with kernels of its own.
        transposed: whether this is the adjoint of a convolution, which paints kernels.
    """

    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    def arguments(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, transposed, output padding, groups: as torch expects them."""
        both = (self.stride, self.stride), (self.padding, self.padding)
        return *both, (1, 1), self.transposed, (0, 0), self.groups


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> Tensor:
    """The result of ``torch.nn.functional.conv2d``, with cheap second derivatives."""
    if torch.compiler.is_compiling():  # a compiler has second derivatives of nothing
        return functional.conv2d(x, weight, bias, stride, padding, groups=groups)
    return _apply(x, weight, bias, Geometry(stride, padding, groups))


def convolve_transposed(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> Tensor:
    """The result of ``torch.nn.functional.conv_transpose2d``, with cheap second derivatives."""
    if torch.compiler.is_compiling():
        return functional.conv_transpose2d(x, weight, bias, stride, padding, groups=groups)
    return _apply(x, weight, bias, Geometry(stride, padding, groups, transposed=True))


class Conv2d(nn.Conv2d):
    """``torch.nn.Conv2d`` with cheap second derivatives: square strides and paddings of zeros."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name in torch)
        """Map (N, in_channels, H, W) to (N, out_channels, H', W')."""
        (stride, _), padding = self.stride, self.padding[0]
        assert isinstance(padding, int)
        return convolve(
            input, self.weight, self.bias, stride=stride, padding=padding, groups=self.groups
        )


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    kind = x.device.type
    available = torch.amp.is_autocast_available(kind)
    if available and torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        # autocast does not look into functions with derivatives of their own
        dtype = torch.get_autocast_dtype(kind)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if not torch.is_grad_enabled():
        return torch.convolution(x, weight, bias, *geometry.arguments())
    if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last):
        # as oneDNN copies it in each call: once for all derivatives
        weight = weight.contiguous(memory_format=torch.channels_last)
    y: Tensor = _Convolution.apply(x, weight, bias, geometry)
    return y


class _Convolution(torch.autograd.Function):
    """y = x * weight + bias."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return torch.convolution(x, weight, bias, *geometry.arguments())

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needed = gradients_needed(ctx, 3)
        # only a penalty's gradient is differentiated again: what records that takes time
        find = _Gradients.apply if torch.is_grad_enabled() else _gradients
        return *find(slope, x, weight, ctx.geometry, needed), None


def _gradients(
    slope: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The gradients by x, weight and bias, those that are needed."""
    by_x, by_weight, by_bias = None, None, None
    if needed[0] or needed[1]:
        by_x, by_weight, _ = torch.ops.aten.convolution_backward(
            slope, x, weight, None, *geometry.arguments(), (needed[0], needed[1], False)
        )
    if needed[2]:
        # a sum of its own takes a fifth of the time that oneDNN adds for it to that of the weights
        by_bias = slope.sum((0, 2, 3))
    return by_x, by_weight, by_bias


class _Gradients(torch.autograd.Function):
    """The gradients of ``_Convolution`` by x, weight and bias, if a loss has ``slope`` by y.

    The first is linear in slope and weight, the second in slope and x, the third in slope.
    """

    @staticmethod
    def forward(
        ctx: Any,
        slope: Tensor,
        x: Tensor,
        weight: Tensor,
        geometry: Geometry,
        needed: Sequence[bool],
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(slope, x, weight)
        ctx.set_materialize_grads(False)
        ctx.geometry = geometry
        return _gradients(slope, x, weight, geometry, needed)

    @staticmethod
    def backward(
        ctx: Any, to_x: Tensor | None, to_weight: Tensor | None, to_bias: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        slope, x, weight = ctx.saved_tensors
        by_slope, by_x, by_weight = None, None, None
        needed = gradients_needed(ctx, 3)
        if needed[0]:
            terms = []
            if to_x is not None:
                terms.append(_Convolution.apply(to_x, weight, None, ctx.geometry))
            if to_weight is not None:
                terms.append(_Convolution.apply(x, to_weight, None, ctx.geometry))
            if to_bias is not None:
                terms.append(to_bias.view(-1, 1, 1).expand_as(slope))
            by_slope = sum(terms[1:], terms[0]) if terms else None
        if needed[1] and to_weight is not None:
            only_x = [True, False, False]
            by_x, _, _ = _Gradients.apply(slope, x, to_weight, ctx.geometry, only_x)
        if needed[2] and to_x is not None:
            only_weight = [False, True, False]
            _, by_weight, _ = _Gradients.apply(slope, to_x, weight, ctx.geometry, only_weight)
        return by_slope, by_x, by_weight, None, None
