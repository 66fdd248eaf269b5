"""Layers with an equalised learning rate, and changes of resolution that do not alias.

Feature maps are (N, channels, height, width) throughout. No layer depends on the rest of the
batch or has running statistics, so the networks are fixed functions of their input and weights.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.ranges import SmallCount, Width, checked


class EqualizedLinear(nn.Module):
    """Linear layer whose weights are N(0, 1), multiplied by gain / sqrt(fan-in) when used.

    An optimiser that normalises gradients (Adam) then moves every layer at the same relative
    speed (Karras et al. 2018, section 4.1). Biases start at 0 and are not scaled.

    Args:
        in_features: width of the input, (N, in_features).
        out_features: width of the output, (N, out_features).
        bias: whether there is a bias.
        gain: standard deviation of the first output for an input of unit variance.
    """

    @checked
    def __init__(
        self, in_features: Width, out_features: Width, bias: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.multiplier = gain / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features)."""
        # scale the input, which is smaller than the weights: that is far faster
        return functional.linear(x * self.multiplier, self.weight, self.bias)


class EqualizedConvolution(nn.Module, ABC):
    """A convolution whose weights are N(0, 1), as in ``EqualizedLinear``.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: side of the kernel.
        bias: whether there is a bias.
        gain: as for ``EqualizedLinear``; the fan-in is in_channels · kernel_size².
    """

    # dimensions of the bias after that of the channels
    bias_shape: ClassVar[tuple[int, ...]] = ()

    @checked
    def __init__(
        self,
        in_channels: Width,
        out_channels: Width,
        kernel_size: SmallCount = 3,
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels, *self.bias_shape)) if bias else None
        self.multiplier = gain / math.sqrt(in_channels * kernel_size**2)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to feature maps of out_channels."""


class EqualizedConv2d(EqualizedConvolution):
    """Keeps the resolution; an even kernel extends one pixel further right and down."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        weight = self.weight * self.multiplier
        return _convolve(x, weight, self.bias, zeros=weight.shape[-1] - 1)


class Blur(nn.Module):
    """Binomial low-pass filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 64, with zeros around the image.

    ``forward`` keeps the resolution (and, the kernel being even, shifts by half a pixel), ``down``
    halves it, and ``up`` doubles it: bilinear interpolation between the centres of pixels.

    On a GPU a depthwise convolution can take a hundred times as long as one over all channels, so
    there the filter is applied as three averages of two neighbours each, which is the same.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W) to (N, C, H, W)."""
        if x.is_cuda:
            return self.average(x)
        return _convolve(x, self._each_channel(x), None, zeros=3, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W), even H and W, to (N, C, H / 2, W / 2)."""
        if x.is_cuda:
            return self.average_down(x)
        return functional.conv2d(x, self._each_channel(x), stride=2, padding=1, groups=x.shape[1])

    def up(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W) to (N, C, 2H, 2W)."""
        if x.is_cuda:
            return self.average_up(x)
        kernel = 4 * self._each_channel(x)  # three quarters of its inputs are zeros
        return functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    def average(self, x: Tensor) -> Tensor:
        """The result of ``forward``, as averages of neighbours."""
        x = functional.pad(x, (1, 2, 1, 2))
        for _ in range(3):
            x = functional.avg_pool2d(x, 2, stride=1)
        return x

    def average_down(self, x: Tensor) -> Tensor:
        """The result of ``down``, as averages of neighbours."""
        x = functional.avg_pool2d(x, 2, stride=1, padding=1)
        x = functional.avg_pool2d(x, 2, stride=1)
        return functional.avg_pool2d(x, 2)

    def average_up(self, x: Tensor) -> Tensor:
        """The result of ``up``, as averages of neighbours."""
        # repeating pixels is one of the three averages, of samples with zeros between them
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = functional.avg_pool2d(x, 2, stride=1, padding=1)
        return functional.avg_pool2d(x, 2, stride=1)

    def _each_channel(self, x: Tensor) -> Tensor:
        return self.kernel.expand(x.shape[1], 1, -1, -1)


class BlurredConvolution(EqualizedConvolution):
    """Changes the resolution with a kernel that is widened by a 2x2 box, and with ``Blur``.

    The box saves a separate step (Karras et al. 2018, "fused scale"); the blur is that of
    Karras et al. 2019. ``kernel_size`` is the side before the kernel is widened.
    """

    @checked
    def __init__(
        self,
        in_channels: Width,
        out_channels: Width,
        kernel_size: SmallCount = 3,
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias, gain)
        self.blur = Blur()


class UpConv2d(BlurredConvolution):
    """Doubles the resolution: the widened kernel at stride 2, a blur, then the bias.

    This equals nearest-neighbour upsampling, the kernel itself, and the blur.
    """

    bias_shape = (1, 1)  # added separately, to whole feature maps

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        height, width = x.shape[-2:]
        weight = _widen(self.weight * self.multiplier)
        x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        start = (weight.shape[-1] - 2) // 2
        x = self.blur(x[..., start : start + 2 * height, start : start + 2 * width])
        return x if self.bias is None else x + self.bias


class DownConv2d(BlurredConvolution):
    """Halves the resolution: a blur, then the widened kernel, averaged, at stride 2.

    This equals the blur, the kernel itself, and average pooling.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W), even H and W, to (N, out_channels, H / 2, W / 2)."""
        weight = _widen(self.weight * self.multiplier) / 4
        zeros = self.weight.shape[-1] - 1
        return _convolve(self.blur(x), weight, self.bias, zeros=zeros, stride=2)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, zeros: int, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve with ``zeros`` pixels of padding along each axis; an odd one goes right and down."""
    if zeros % 2:
        x = functional.pad(x, (0, 1, 0, 1))
    return functional.conv2d(x, weight, bias, stride, zeros // 2, groups=groups)


def _widen(weight: Tensor) -> Tensor:
    """Convolve kernels (..., k, k) with a 2x2 box of ones, to (..., k + 1, k + 1)."""
    weight = functional.pad(weight, (1, 1, 1, 1))
    rows = weight[..., 1:, :] + weight[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]
