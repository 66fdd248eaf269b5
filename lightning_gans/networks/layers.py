"""Layers with an equalised learning rate, and changes of resolution that do not alias.

Feature maps are (N, channels, height, width) throughout. No layer depends on the rest of the
batch or has running statistics, so the networks are fixed functions of their input and weights.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.compat import has_hooks
from lightning_gans.ranges import PositiveFloat, SmallCount, Width, checked

from .convolution import convolve, convolve_transposed
from .piecewise import RECTIFIER, SLOPE, Convolution, Filter, Pointwise, Step

TAPS = (1.0, 3.0, 3.0, 1.0)  # of the filter, times 8
# the largest side of feature maps that are multiplied by a matrix; at 64 a convolution is faster
SMALL = 32
HALF_POWER = math.sqrt(0.5)  # keeps the variance of a sum of two


def fast_layout(x: Tensor) -> Tensor:
    """Feature maps (N, C, H, W) in the layout in memory in which they are filtered fastest.

    On a CPU with channels last, where convolutions take 10 to 30 % less time.
    """
    if x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last)


class EqualizedLinear(nn.Module):
    """Linear layer whose weights are N(0, 1), multiplied by gain / sqrt(fan-in) when used.

    An optimiser that normalises gradients (Adam) then moves every layer at the same relative
    speed (Karras et al. 2018, section 4.1). Biases start at 0 and are not scaled.

    Args:
        in_features: width of the input, (N, in_features).
        out_features: width of the output, (N, out_features).
        bias: whether there is a bias.
        gain: standard deviation of the first output for an input of unit variance.
        rate: learning rate of the weights, relative to that of other layers: they start as
            N(0, 1 / rate²), and are multiplied by rate as well when used.
    """

    @checked
    def __init__(
        self,
        in_features: Width,
        out_features: Width,
        bias: bool = True,
        gain: float = 1.0,
        rate: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / rate)
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.multiplier = gain * rate / math.sqrt(in_features)

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
    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Map (N, in_channels, H, W) to feature maps of out_channels, times ``factor``."""

    def scaled_bias(self, factor: float) -> Tensor | None:
        """The bias times ``factor``."""
        return self.bias if self.bias is None or factor == 1 else self.bias * factor


class EqualizedConv2d(EqualizedConvolution):
    """Keeps the resolution; an even kernel extends one pixel further right and down."""

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W), times ``factor``."""
        weight, bias = self.weight * (factor * self.multiplier), self.scaled_bias(factor)
        side = weight.shape[-1]
        last = x.is_contiguous(memory_format=torch.channels_last)
        if side == 1 and last and not x.is_cuda:
            y = functional.linear(x.permute(0, 2, 3, 1), weight[..., 0, 0], bias)
            return y.permute(0, 3, 1, 2)
        return _convolve(x, weight, bias, zeros=side - 1)


class Blur(nn.Module):
    """Binomial low-pass filter [1, 3, 3, 1] ⊗ [1, 3, 3, 1] / 64, with zeros around the image.

    ``forward`` keeps the resolution (and, the kernel being even, shifts by half a pixel), ``down``
    halves it, and ``up`` doubles it: bilinear interpolation between the centres of pixels.

    Small feature maps are multiplied by a matrix along each axis: on a CPU that takes half the time
    of a depthwise convolution, and on a GPU a depthwise convolution can take a hundred times as
    long as one over all channels. Larger ones, whose matrices would be mostly zeros, are convolved
    on a CPU, and on a GPU averaged three times over two neighbours, which is the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W) to (N, C, H, W)."""
        if _is_small(x):
            return _multiply(x, *(_blurring(size, x) for size in x.shape[-2:]))
        if x.is_cuda:
            return self.average(x)
        return _convolve(x, _each_channel(x), None, zeros=3, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W), even H and W, to (N, C, H / 2, W / 2)."""
        return self.average_down(x) if x.is_cuda and not _is_small(x) else _down(x)

    def up(self, x: Tensor) -> Tensor:
        """Filter (N, C, H, W) to (N, C, 2H, 2W)."""
        return self.average_up(x) if x.is_cuda and not _is_small(x) else _up(x)

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

    def widened(self, factor: float) -> Tensor:
        """The scaled weights times ``factor``, convolved with a 2x2 box of ones."""
        out, inputs, side, _ = self.weight.shape
        weight = self.weight * (factor * self.multiplier)
        box = _constant(_widening_matrix, side, weight.dtype, weight.device)
        # one product, in place of two sums of shifted kernels and what their gradients take
        return (weight.reshape(-1, side**2) @ box).view(out, inputs, side + 1, side + 1)


class UpConv2d(BlurredConvolution):
    """Doubles the resolution: the widened kernel at stride 2, a blur, then the bias.

    This equals nearest-neighbour upsampling, the kernel itself, and the blur.
    """

    bias_shape = (1, 1)  # added separately, to whole feature maps

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W), times ``factor``."""
        height, width = x.shape[-2:]
        weight = self.widened(factor).transpose(0, 1)
        # what the kernel paints beyond the edges is cut off: as much on either side, or one more
        # pixel on the right and below
        x = convolve_transposed(x, weight, stride=2, padding=(weight.shape[-1] - 2) // 2)
        x = self.blur(x[..., : 2 * height, : 2 * width])
        bias = self.scaled_bias(factor)
        return x if bias is None else x + bias


class DownConv2d(BlurredConvolution):
    """Halves the resolution: a blur, then the widened kernel, averaged, at stride 2.

    This equals the blur, the kernel itself, and average pooling.
    """

    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        """Map (N, in_channels, H, W), even H and W, to (N, out_channels, H / 2, W / 2).

        The result is multiplied by ``factor``.
        """
        weight, bias = self.widened(factor / 4), self.scaled_bias(factor)
        zeros = self.weight.shape[-1] - 1
        return _convolve(self.blur(x), weight, bias, zeros=zeros, stride=2)


def works_at_once(x: Tensor, layers: Sequence[nn.Module]) -> bool:
    """Whether layers can be steps of a :class:`Piecewise` that starts with feature maps x.

    On a CPU, in the full precision of x, if the layers are those of this module with odd kernels,
    or its rectifiers, and nobody has put hooks on them.
    """
    return (
        x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and all(_is_step(layer) for layer in layers)
    )


def _is_step(layer: nn.Module) -> bool:
    if has_hooks(layer):
        return False
    if type(layer) is nn.LeakyReLU:
        return layer.negative_slope == SLOPE
    return type(layer) is EqualizedConv2d and layer.weight.shape[-1] % 2 == 1


def step(layer: nn.Module, factor: float = 1.0) -> Step:
    """A layer, times ``factor``, as a step, if it is one for which it :func:`works_at_once`."""
    if not isinstance(layer, EqualizedConv2d):
        return RECTIFIER
    make = Pointwise if layer.weight.shape[-1] == 1 else Convolution
    return make(layer.weight, layer.bias, factor * layer.multiplier, factor)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, zeros: int, stride: int = 1, groups: int = 1
) -> Tensor:
    """Convolve with ``zeros`` pixels of padding along each axis; an odd one goes right and down."""
    if zeros % 2:
        x = functional.pad(x, (0, 1, 0, 1))
    return convolve(x, weight, bias, stride=stride, padding=zeros // 2, groups=groups)


def _is_small(x: Tensor) -> bool:
    return max(x.shape[-2:]) <= SMALL


def _down(x: Tensor, into: Tensor | None = None, factor: float = 1.0) -> Tensor:
    if _is_small(x):
        make = _halving_matrix if factor == 1 else _doubling_transposed
        return _multiply(x, *_matrices(make, x), into)
    y = convolve(x, factor * _each_channel(x), stride=2, padding=1, groups=x.shape[1])
    return y if into is None else into.add_(y)


def _up(x: Tensor, into: Tensor | None = None, factor: float = 4.0) -> Tensor:
    # three quarters of its inputs are zeros, hence the factor of 2 along each axis
    if _is_small(x):
        make = _halving_transposed if factor == 1 else _doubling_matrix
        return _multiply(x, *_matrices(make, x), into)
    kernel = factor * _each_channel(x)
    y = convolve_transposed(x, kernel, stride=2, padding=1, groups=x.shape[1])
    return y if into is None else into.add_(y)


# each is the transposed of the other, but for the factor
DOWN = Filter(_down, functools.partial(_up, factor=1.0))
UP = Filter(_up, functools.partial(_down, factor=4.0))


def _matrices(make: Callable[[int], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices along the two axes of feature maps such as x."""
    height, width = x.shape[-2:]
    rows = _constant(make, height, x.dtype, x.device)
    return rows, rows if width == height else _constant(make, width, x.dtype, x.device)


def _multiply(x: Tensor, rows: Tensor, columns: Tensor, into: Tensor | None = None) -> Tensor:
    """Map (N, C, H, W) to (N, C, H', W') by matrices (H', H) and (W', W), one along each axis.

    The result is added to ``into``, if that is given.
    """
    n, channels, height, width = x.shape
    tall, wide = len(rows), len(columns)
    if x.is_contiguous():
        y = torch.matmul(rows, torch.matmul(x, columns.t()))
        return y if into is None else into.add_(y)
    # channels are last in memory, and stay so; what becomes smaller is first made so
    x = x.permute(0, 2, 3, 1)
    if wide > width:
        x = x.reshape(n * height, width, channels)
        x = torch.bmm(columns.expand(n * height, -1, -1), x).view(n, height, wide * channels)
        matrices = rows.expand(n, -1, -1)
    else:
        x = x.reshape(n, height, width * channels)
        x = torch.bmm(rows.expand(n, -1, -1), x).view(n * tall, width, channels)
        matrices = columns.expand(n * tall, -1, -1)
    if into is None:
        return torch.bmm(matrices, x).view(n, tall, wide, channels).permute(0, 3, 1, 2)
    into.permute(0, 2, 3, 1).view(len(matrices), -1, x.shape[-1]).baddbmm_(matrices, x)
    return into


def _each_channel(x: Tensor) -> Tensor:
    """The kernel of ``Blur`` for each channel of x, (C, 1, 4, 4)."""
    taps = x.new_tensor(TAPS) / 8
    return torch.outer(taps, taps).expand(x.shape[1], 1, -1, -1)


def _blurring(size: int, x: Tensor) -> Tensor:
    """The filter along an axis of so many pixels, for feature maps such as x: (size, size)."""
    return _constant(_blurring_matrix, size, x.dtype, x.device)


def _blurring_matrix(size: int) -> Tensor:
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for shift, tap in zip((-1, 0, 1, 2), TAPS, strict=True):
        matrix.diagonal(shift).fill_(tap / 8)
    return matrix


def _halving_matrix(size: int) -> Tensor:
    return _blurring_matrix(size)[::2].clone()


def _halving_transposed(size: int) -> Tensor:
    return _halving_matrix(2 * size).t().contiguous()


def _doubling_matrix(size: int) -> Tensor:
    return 2 * _halving_transposed(size)


def _doubling_transposed(size: int) -> Tensor:
    return 2 * _halving_matrix(size)


def _widening_matrix(side: int) -> Tensor:
    """Kernels (..., side²) times this are those convolved with a 2x2 box of ones."""
    rows = torch.zeros(side, side + 1, dtype=torch.float64)
    for shift in (0, 1):
        rows.diagonal(shift).fill_(1.0)
    return torch.kron(rows, rows)


@functools.lru_cache(maxsize=128)
def _constant(
    make: Callable[[int], Tensor], size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    # made once for evaluations too, where tensors would be of no use to training
    with torch.inference_mode(False), torch.no_grad():
        return make(size).to(device, dtype)
