"""The networks of (thesis, section 4.3.3): published sizes, and layers written out once more."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everyone knows)

from lightning_gans.networks import StyleDiscriminator, StyleGenerator
from lightning_gans.networks.style import Modulated, ModulatedConv2d, ModulatedUpConv2d

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
KERNEL = torch.outer(TAPS, TAPS) / 64
# what the published code calls filter_sizes
WIDTHS = [128, 256, 512, 512, 512]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def dense(x: Tensor, weight: Tensor, bias: Tensor, rate: float = 1.0) -> Tensor:
    return x @ (weight * rate / math.sqrt(weight.shape[1])).T + bias


def scaled(weight: Tensor) -> Tensor:
    return weight / math.sqrt(weight[0].numel())


def each(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    """Filter every channel of images that are padded already."""
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 4, 4), stride=stride, groups=x.shape[1])


def blur(x: Tensor) -> Tensor:
    return each(F.pad(x, (1, 2, 1, 2)), KERNEL)


def with_zeros(x: Tensor) -> Tensor:
    """Every pixel is the last of a square of 2x2, and 4 times as bright."""
    n, channels, height, width = x.shape
    y = torch.zeros(n, channels, 2 * height, 2 * width, dtype=x.dtype)
    y[:, :, 1::2, 1::2] = 4 * x
    return y


def modulated(x: Tensor, style: Tensor, layer: Modulated, up: bool) -> Tensor:
    """A modulated convolution, a rectifier and the gain, in the order of the published code."""
    scale, scale_bias = layer.scale.parameters()
    scales = dense(style, scale, scale_bias, 0.01)
    x = x * scales[:, :, None, None]
    if up:
        # a stride of a transposed convolution paints its kernel; the published one reads it
        x = blur(F.conv2d(with_zeros(x), scaled(layer.weight.flip(2, 3)), padding=1))
    else:
        x = F.conv2d(x, scaled(layer.weight), padding=1)
    return leaky(x + layer.bias) * 2**0.5


def shake(network: nn.Module) -> nn.Module:
    """In float64, with biases other than zero."""
    for parameter in network.double().parameters():
        if not parameter.any():
            nn.init.normal_(parameter)
    return network


def test_published_sizes() -> None:
    with torch.device("meta"):
        generator = StyleGenerator(512, (3, 128, 128))
        discriminator = StyleDiscriminator((3, 128, 128), 1, 512)
    steps = [(512, 512), (512, 512), (512, 512), (512, 256), (256, 128)]
    blocks = sum(513 * a + 9 * a * b + b + 513 * b + 9 * b * b + b + 3 * b for a, b in steps)
    assert count(generator) == 2 * 513 * 512 + 512 * 16 + 3 * 512 + 3 + blocks
    # channels at the start, in the middle and at the end of each block
    steps3 = [(128, 128, 512), (512, 256, 512), (512, 512, 1024)] + 2 * [(1024, 512, 1024)]
    blocks = sum(9 * a * b + b + 9 * b * c + c + a * c for a, b, c in steps3)
    assert count(discriminator) == 3 * 128 + 128 + blocks + (16384 + 1) * 513


@pytest.mark.parametrize("side", [16, 64])
def test_generator_computes_its_layers(side: int) -> None:
    torch.manual_seed(0)
    generator = shake(StyleGenerator(5, (3, side, side), (2,), channels=2, max_channels=6))
    assert isinstance(generator, StyleGenerator)
    z, c = torch.randn(4, 5).double(), torch.eye(2)[[0, 1, 1, 0]].double()
    weight, bias, second, second_bias = generator.style.parameters()
    style = leaky(dense(torch.cat([z, 2 * (c - 0.5)], 1), weight, bias, 0.01))
    style = leaky(dense(style, second, second_bias, 0.01))
    x = generator.start.expand(4, -1, -1, -1)
    weight, bias = generator.draw[0].parameters()
    image = F.conv2d(x, scaled(weight), bias)
    for up, same, draw in zip(generator.up, generator.same, generator.draw[1:], strict=True):
        for layer, kind in ((up, ModulatedUpConv2d), (same, ModulatedConv2d)):
            assert isinstance(layer, kind)
            x = modulated(x, style, layer, up=kind is ModulatedUpConv2d)
        image = each(F.pad(with_zeros(image), (1, 2, 1, 2)), KERNEL)
        (weight,) = draw.parameters()
        image = image + F.conv2d(x, scaled(weight))
    assert image.shape == (4, 3, side, side)
    torch.testing.assert_close(generator(z, c), image)


def test_discriminator_computes_its_layers() -> None:
    torch.manual_seed(0)
    discriminator = shake(StyleDiscriminator((3, 32, 32), 1, 6, channels=2, max_channels=6))
    assert isinstance(discriminator, StyleDiscriminator)
    x = torch.randn(4, 3, 32, 32).double()
    weight, bias = discriminator.read.parameters()
    y = leaky(F.conv2d(x, scaled(weight), bias)) * 2**0.5
    widths = []
    for block in discriminator.blocks:
        first, first_bias, second, second_bias, skip = block.parameters()
        straight = F.conv2d(blur(y)[..., ::2, ::2], scaled(skip))
        y = leaky(F.conv2d(y, scaled(first), first_bias, padding=1)) * 2**0.5
        widths.append(y.shape[1])
        y = F.pad(blur(y), (1, 0, 1, 0))
        y = leaky(F.conv2d(y, scaled(second), second_bias, stride=2)) + straight / 2**0.5
        widths.append(y.shape[1])
    assert widths == [2, 6, 4, 8, 6, 12]
    y = y.flatten(1)
    output = discriminator(x)
    torch.testing.assert_close(output.features, y)
    score, score_bias, code, code_bias = discriminator.heads.parameters()
    torch.testing.assert_close(output.score, dense(y, score, score_bias)[:, 0])
    torch.testing.assert_close(output.code, dense(y, code, code_bias))


def test_styles_start_at_the_mean_0_and_learn_a_hundredth_as_fast() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 64, 512)
    assert 90 < layer.scale.weight.std() < 110
    style = torch.randn(1000, 512)
    scales = layer.scale(style)
    assert abs(scales.mean()) < 0.05
    assert 0.9 < scales.std() < 1.1
    # gain √2: twice the variance of unit feature maps under unit scales
    x = torch.randn(64, 64, 8, 8)
    assert 1.6 < layer(x, style[:64])[..., 1:-1, 1:-1].var() < 2.4
