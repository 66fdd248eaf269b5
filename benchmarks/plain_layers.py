"""Skip and blurred networks in their plain form, operation by operation, to compare times with.

They have the parameters of ``lightning_gans.networks`` and the same values: the blur is a depthwise
convolution, every convolution is differentiated by PyTorch, and weights are scaled when used.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.networks import DiscriminatorOutput
from lightning_gans.networks.discriminator_output import Heads
from lightning_gans.networks.pyramid import BOTTOM, pyramid

Shape = tuple[int, int, int]


class EqualizedLinear(nn.Module):
    """A linear layer whose weights are scaled by 1 / sqrt(fan-in) when used."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.multiplier = 1 / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x * self.multiplier, self.weight, self.bias)


class EqualizedConv2d(nn.Module):
    """A convolution that keeps the resolution, scaled likewise."""

    bias_shape: tuple[int, ...] = ()

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels, *self.bias_shape)) if bias else None
        self.multiplier = 1 / math.sqrt(in_channels * kernel_size**2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.multiplier
        return _convolve(x, weight, self.bias, zeros=weight.shape[-1] - 1)


class Blur(nn.Module):
    """The binomial filter as a depthwise convolution."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return _convolve(x, self._each_channel(x), None, zeros=3, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self._each_channel(x), stride=2, padding=1, groups=x.shape[1])

    def up(self, x: Tensor) -> Tensor:
        kernel = 4 * self._each_channel(x)
        return functional.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])

    def _each_channel(self, x: Tensor) -> Tensor:
        return self.kernel.expand(x.shape[1], 1, -1, -1)


class UpConv2d(EqualizedConv2d):
    """The widened kernel at stride 2, a blur, then the bias."""

    bias_shape = (1, 1)

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        weight = _widen(self.weight * self.multiplier)
        x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        start = (weight.shape[-1] - 2) // 2
        x = self.blur(x[..., start : start + 2 * height, start : start + 2 * width])
        return x if self.bias is None else x + self.bias


class DownConv2d(EqualizedConv2d):
    """A blur, then the widened kernel, averaged, at stride 2."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)
        self.blur = Blur()

    def forward(self, x: Tensor) -> Tensor:
        weight = _widen(self.weight * self.multiplier) / 4
        zeros = self.weight.shape[-1] - 1
        return _convolve(self.blur(x), weight, self.bias, zeros=zeros, stride=2)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, zeros: int, stride: int = 1, groups: int = 1
) -> Tensor:
    if zeros % 2:
        x = functional.pad(x, (0, 1, 0, 1))
    return functional.conv2d(x, weight, bias, stride, zeros // 2, groups=groups)


def _widen(weight: Tensor) -> Tensor:
    weight = functional.pad(weight, (1, 1, 1, 1))
    rows = weight[..., 1:, :] + weight[..., :-1, :]
    return rows[..., 1:] + rows[..., :-1]


class SkipGenerator(nn.Module):
    """That of the package."""

    def __init__(self, latent_dim: int, shape: Shape, *, channels: int, max_channels: int) -> None:
        super().__init__()
        widths = pyramid(shape, channels, max_channels, shape[1:])[-2::-1]
        hidden = 2 * latent_dim + 8
        self.dense = nn.Sequential(
            EqualizedLinear(latent_dim, hidden),
            nn.LeakyReLU(0.2),
            EqualizedLinear(hidden, widths[0] * BOTTOM**2),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                UpConv2d(wide, width),
                nn.LeakyReLU(0.2),
                EqualizedConv2d(width, width),
                nn.LeakyReLU(0.2),
            )
            for wide, width in pairwise([widths[0], *widths])
        )
        self.draw = nn.ModuleList(
            EqualizedConv2d(width, shape[0], kernel_size=1, bias=False)
            for width in [widths[0], *widths]
        )
        self.bias = nn.Parameter(torch.zeros(shape[0], 1, 1))
        self.blur = Blur()

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.dense(z)
        image: Tensor = self.draw[0](x)
        for block, draw in zip(self.blocks, self.draw[1:], strict=True):
            x = block(x)
            image = self.blur.up(image) + draw(x)
        return image + self.bias


class DownBlock(nn.Module):
    """That of the package."""

    def __init__(self, image_channels: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            EqualizedConv2d(in_channels, out_channels),
            nn.LeakyReLU(0.2),
            DownConv2d(out_channels, out_channels, bias=False),
        )
        self.skip = EqualizedConv2d(image_channels, out_channels, kernel_size=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, 1))

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        x = (self.main(x) + self.skip(image)) / math.sqrt(2)
        return functional.leaky_relu(x + self.bias, 0.2)


class SkipDiscriminator(nn.Module):
    """That of the package, with one score."""

    def __init__(
        self, shape: Shape, code_dim: int, *, channels: int, max_channels: int, hidden: int
    ) -> None:
        super().__init__()
        widths = pyramid(shape, channels, max_channels, shape[1:])[:-1]
        self.read = nn.Sequential(
            EqualizedConv2d(shape[0], widths[0], kernel_size=1), nn.LeakyReLU(0.2)
        )
        self.blocks = nn.ModuleList(
            DownBlock(shape[0], narrow, width) for narrow, width in pairwise([widths[0], *widths])
        )
        self.blur = Blur()
        self.dense = nn.Sequential(
            nn.Flatten(), EqualizedLinear(widths[-1] * BOTTOM**2, hidden), nn.LeakyReLU(0.2)
        )
        self.heads = Heads(hidden, 1, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        image = x
        x = self.read(image)
        for block in self.blocks:
            image = self.blur.down(image)
            x = block(x, image)
        output: DiscriminatorOutput = self.heads(self.dense(x))
        return output


class Residual(nn.Module):
    """Two convolutions, each with its rectifier, and a linear skip connection."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            EqualizedConv2d(in_channels, out_channels),
            nn.LeakyReLU(0.2),
            EqualizedConv2d(out_channels, out_channels),
            nn.LeakyReLU(0.2),
        )
        self.skip = EqualizedConv2d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = (self.skip(x) + self.main(x)) / math.sqrt(2)
        return y


class BlurredGenerator(nn.Module):
    """That of the package."""

    def __init__(self, latent_dim: int, shape: Shape, *, channels: int, max_channels: int) -> None:
        super().__init__()
        widths = pyramid(shape, channels, max_channels, shape[1:])[-2::-1]
        self.start = nn.Sequential(
            EqualizedLinear(latent_dim, widths[0] * BOTTOM**2, bias=False),
            nn.Unflatten(1, (widths[0], BOTTOM, BOTTOM)),
        )
        self.bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.blocks = nn.ModuleList(
            Residual(wide, width) for wide, width in pairwise([widths[0], *widths])
        )
        self.draw = EqualizedConv2d(widths[-1], shape[0], kernel_size=1)
        self.blur = Blur()

    def forward(self, z: Tensor) -> Tensor:
        x = functional.leaky_relu(self.start(z) + self.bias, 0.2)
        for block in self.blocks:
            x = block(self.blur.up(x))
        image: Tensor = self.draw(x)
        return image


class BlurredDiscriminator(nn.Module):
    """That of the package, with one score."""

    def __init__(self, shape: Shape, code_dim: int, *, channels: int, max_channels: int) -> None:
        super().__init__()
        widths = pyramid(shape, channels, max_channels, shape[1:])[:-1]
        self.read = nn.Sequential(
            EqualizedConv2d(shape[0], widths[0], kernel_size=1), nn.LeakyReLU(0.2)
        )
        self.blocks = nn.ModuleList(
            Residual(narrow, width) for narrow, width in pairwise([widths[0], *widths])
        )
        self.blur = Blur()
        self.heads = Heads(widths[-1] * BOTTOM**2, 1, code_dim, EqualizedLinear)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        x = self.read(x)
        for block in self.blocks:
            x = self.blur.down(block(x))
        output: DiscriminatorOutput = self.heads(x.flatten(1))
        return output
