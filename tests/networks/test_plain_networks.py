"""The networks of (thesis, section 4.3.1): published sizes, and layers written out once more."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everyone knows)

from lightning_gans.networks import PlainDiscriminator, PlainGenerator
from lightning_gans.networks.layers import Blur, EqualizedConv2d, EqualizedLinear

LEVELS = [(128, 256), (256, 512), (512, 1024)]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution that keeps the resolution, or a dense layer, with gain √2."""
    weight = weight * math.sqrt(2 / weight[0].numel())
    if weight.dim() == 2:
        return x @ weight.T + bias
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def shake(network: nn.Module) -> list[Tensor]:
    """Its parameters in float64, with biases other than zero."""
    found: list[Tensor] = list(network.double().parameters())
    for parameter in found:
        if parameter.dim() == 1:
            nn.init.normal_(parameter)
    return found


def test_published_sizes() -> None:
    with torch.device("meta"):
        generator = PlainGenerator(256, (1, 32, 32))
        discriminator = PlainDiscriminator((1, 32, 32), 1, 256)
    down = sum(9 * f * f + f + 9 * f * g + g for f, g in LEVELS)
    assert count(discriminator) == 128 + 128 + down + 16384 * 257 + 257 == 13_503_617
    up = sum(9 * g * f + f + 9 * f * f + f for f, g in LEVELS)
    assert count(generator) == 256 * 16384 + 16384 + up + 128 + 1 == 13_502_337


@pytest.mark.parametrize("side", [16, 64])
def test_generator_computes_its_layers(side: int) -> None:
    torch.manual_seed(0)
    generator = PlainGenerator(5, (3, side, side), (2,), channels=2, max_channels=16)
    first, bias, *rest = shake(generator)
    z, c = torch.randn(4, 5).double(), torch.eye(2)[[0, 1, 1, 0]].double()
    blur = Blur().double()
    standard = 2 * (c - 0.5)
    x = leaky(layer(torch.cat([z, standard], 1), first, bias))
    x = x.reshape(4, -1, 4, 4)
    while len(rest) > 2:
        x = leaky(layer(blur.up(x), *rest[:2]))
        x = leaky(layer(x, *rest[2:4]))
        rest = rest[4:]
    truth = layer(x, *rest)
    assert truth.shape == (4, 3, side, side)
    torch.testing.assert_close(generator(z, c), truth)


def test_discriminator_computes_its_layers() -> None:
    torch.manual_seed(0)
    discriminator = PlainDiscriminator((3, 32, 32), 1, 6, channels=2)
    read, bias, *rest = shake(discriminator)
    x = torch.randn(4, 3, 32, 32).double()
    blur = Blur().double()
    y = leaky(layer(x, read, bias))
    while len(rest) > 4:
        y = leaky(layer(y, *rest[:2]))
        y = blur.down(leaky(layer(y, *rest[2:4])))
        rest = rest[4:]
    y = y.flatten(1)
    assert y.shape == (4, 16 * 16)
    output = discriminator(x)
    torch.testing.assert_close(output.features, y)
    torch.testing.assert_close(output.score, layer(y, *rest[:2])[:, 0])
    torch.testing.assert_close(output.code, layer(y, *rest[2:]))


def test_every_layer_starts_with_the_gain_root_2() -> None:
    torch.manual_seed(0)
    layers: list[EqualizedConv2d | EqualizedLinear] = []
    for network in (
        PlainGenerator(256, (1, 32, 32), channels=16),
        PlainDiscriminator((1, 32, 32), 1, 256, channels=16),
    ):
        layers += [m for m in network.modules() if isinstance(m, EqualizedConv2d | EqualizedLinear)]
    assert len(layers) == 1 + 6 + 1 + 1 + 6 + 2
    for layer in layers:
        inputs = layer.weight.shape[1]
        if isinstance(layer, EqualizedLinear):
            y = layer(torch.randn(2000, inputs))
        else:
            y = layer(torch.randn(64, inputs, 6, 6))[..., 1:-1, 1:-1]  # the edges see zeros
        # the mean over what the layer itself draws, which is few weights in the first and last
        expected = 2 * layer.weight.square().mean()
        assert 0.85 * expected < y.square().mean() < 1.15 * expected


def test_signals_keep_their_size() -> None:
    torch.manual_seed(0)
    output = PlainDiscriminator((1, 32, 32), 1, 256, channels=16)(torch.randn(8, 1, 32, 32))
    assert 0.1 < output.code.std() < 3
