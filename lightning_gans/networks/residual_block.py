"""Residual blocks, with or without a change of resolution."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import HALF_POWER, DownConv2d, EqualizedConv2d, EqualizedConvolution, UpConv2d


class Residual(nn.Module):
    """Two convolutions, each with its rectifier, and a linear skip connection.

    Args:
        first: the convolution of the input.
        second: the convolution after it.
        skip: maps the input to the shape of the output.
    """

    def __init__(
        self, first: EqualizedConvolution, second: EqualizedConvolution, skip: EqualizedConvolution
    ) -> None:
        super().__init__()
        self.main = nn.Sequential(
            first, nn.LeakyReLU(0.2, inplace=True), second, nn.LeakyReLU(0.2, inplace=True)
        )
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to feature maps of the shape that ``second`` and ``skip`` make."""
        first, rectify, second, last = self.main
        # weights and biases are divided by √2 in place of the sum, which is larger: a rectifier
        # maps a part of its input to that part of its output
        y: Tensor = last(second(rectify(first(x)), HALF_POWER)) + self.skip(x, HALF_POWER)
        return y


def layers_of(block: nn.Module) -> list[nn.Module]:
    """The layers of a :class:`Residual`, in the order of ``main`` and then ``skip``."""
    assert isinstance(block, Residual)
    return [*block.main, block.skip]


def residual(in_channels: int, out_channels: int) -> Residual:
    """A block from (N, in_channels, H, W) to (N, out_channels, H, W)."""
    return Residual(
        EqualizedConv2d(in_channels, out_channels),
        EqualizedConv2d(out_channels, out_channels),
        EqualizedConv2d(in_channels, out_channels, kernel_size=1, bias=False),
    )


def up_residual(in_channels: int, out_channels: int) -> Residual:
    """A block from (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
    return Residual(
        UpConv2d(in_channels, out_channels),
        EqualizedConv2d(out_channels, out_channels),
        UpConv2d(in_channels, out_channels, kernel_size=2, bias=False),
    )


def down_residual(in_channels: int, out_channels: int) -> Residual:
    """A block from (N, in_channels, 2H, 2W) to (N, out_channels, H, W)."""
    return Residual(
        EqualizedConv2d(in_channels, out_channels),
        DownConv2d(out_channels, out_channels),
        DownConv2d(in_channels, out_channels, kernel_size=2, bias=False),
    )
