"""Networks of the papers, written out once more in plain functions; published sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name everyone knows)

from lightning_gans.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    InstanceNormDiscriminator,
    InstanceNormGenerator,
    PixelShuffleGenerator,
    WGANCritic,
    WGANGenerator,
)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Batch norm over everything but the channels."""
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    x = (x - mean) / (variance + 1e-5).sqrt()
    return x * gain[:, None, None] + bias[:, None, None]


def shake(network: nn.Module) -> nn.Module:
    """Parameters such that every layer matters: unit signals, biases other than zero."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            nn.init.normal_(parameter, std=1 / math.sqrt(fan_in))
        else:
            nn.init.normal_(parameter, mean=0.5, std=0.5)
    return network.double()


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# DCGAN


def test_dcgan_has_the_sizes_of_the_example_of_pytorch() -> None:
    with torch.device("meta"):
        assert count(DCGANGenerator(100, (3, 64, 64))) == 3_576_704
        assert count(DCGANDiscriminator((3, 64, 64))) == 2_765_568
        widths = {
            side: [
                m.out_channels
                for m in DCGANGenerator(100, (3, side, side)).modules()
                if isinstance(m, nn.ConvTranspose2d)
            ]
            for side in (16, 64, 256)
        }
    assert widths[16] == [128, 64, 3]
    assert widths[64] == [512, 256, 128, 64, 3]
    assert widths[256] == [512, 512, 512, 256, 128, 64, 3]


@pytest.mark.parametrize("network", [DCGANGenerator, PixelShuffleGenerator])
def test_dcgan_generators_compute_their_layers(
    network: type[DCGANGenerator | PixelShuffleGenerator],
) -> None:
    torch.manual_seed(0)
    generator = shake(network(5, (3, 32, 32), channels=2))
    z = double(4, 5)
    start, *rest = generator.parameters()
    x = torch.einsum("nl,lchw->nchw", z, start)
    x = norm(x, *rest[:2]).relu()
    x = F.conv_transpose2d(x, rest[2], stride=2, padding=1)
    x = norm(x, *rest[3:5]).relu()
    if network is PixelShuffleGenerator:
        four = F.conv2d(x, rest[5], padding=1)
        assert four.shape == (4, 4 * 2, 8, 8)
        x = double(4, 2, 16, 16)
        for row in range(2):
            for column in range(2):
                x[:, :, row::2, column::2] = four[:, 2 * row + column :: 4]
    else:
        x = F.conv_transpose2d(x, rest[5], stride=2, padding=1)
    x = norm(x, *rest[6:8]).relu()
    truth = F.conv_transpose2d(x, rest[8], stride=2, padding=1).tanh()
    torch.testing.assert_close(generator(z), truth)


def test_dcgan_discriminator_computes_its_layers() -> None:
    torch.manual_seed(0)
    discriminator = shake(DCGANDiscriminator((3, 16, 16), 1, 2, channels=2))
    x = double(4, 3, 16, 16)
    first, second, gain, bias, score, code = discriminator.parameters()
    y = leaky(F.conv2d(x, first, stride=2, padding=1))
    y = leaky(norm(F.conv2d(y, second, stride=2, padding=1), gain, bias)).flatten(1)
    output = discriminator(x)
    torch.testing.assert_close(output.features, y)
    torch.testing.assert_close(output.score, (y @ score.T)[:, 0])
    torch.testing.assert_close(output.code, y @ code.T)


def test_dcgan_starts_as_published() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(100, (3, 64, 64), channels=16)
    networks = [
        generator,
        PixelShuffleGenerator(100, (3, 64, 64), channels=16),
        DCGANDiscriminator((3, 64, 64), 4, channels=16),
    ]
    for network in networks:
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any(), name
            elif parameter.numel() > 500:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
                assert abs(parameter.mean().item()) < 0.02 / 5, name
    gains = [p.detach() for p in generator.parameters() if p.dim() == 1 and p.any()]
    assert torch.cat(gains).mean().item() == pytest.approx(1, abs=0.01)
    assert torch.cat(gains).std().item() == pytest.approx(0.02, rel=0.2)


# WGAN-GP


@pytest.mark.parametrize(
    ("side", "up"), [(64, [2048, 1024, 512, 256, 128]), (32, [1024, 512, 256, 128])]
)
def test_wgan_has_the_published_widths(side: int, up: list[int]) -> None:
    with torch.device("meta"):
        generator = WGANGenerator(100, (3, side, side))
        critic = WGANCritic((3, side, side))
    shapes = [tuple(p.shape) for p in generator.parameters() if p.dim() > 1]
    assert shapes[0] == (up[0] * 4 * 4, 100)
    assert shapes[1:] == [(width, wide, 5, 5) for wide, width in pairwise([*up, 3])]
    shapes = [tuple(p.shape) for p in critic.parameters() if p.dim() > 1]
    down = [3, *up[-2::-1]]
    assert shapes[:-1] == [
        shape
        for narrow, width in pairwise(down)
        for shape in ((width, narrow, 5, 5), (width, width, 5, 5))
    ]
    assert shapes[-1] == (1, up[0] * 4 * 4)


def test_wgan_generator_computes_its_layers() -> None:
    torch.manual_seed(0)
    generator = shake(WGANGenerator(5, (3, 16, 16), channels=2))
    z = double(4, 5)
    dense, *rest = generator.parameters()
    x = norm((z @ dense.T).reshape(4, 8, 4, 4), *rest[:2]).relu()
    for i in (2, 5):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = norm(F.conv2d(x, rest[i], padding=2), *rest[i + 1 : i + 3]).relu()
    truth = F.conv2d(x, rest[8], rest[9], padding=2).tanh()
    torch.testing.assert_close(generator(z), truth)


def test_wgan_critic_computes_its_layers() -> None:
    torch.manual_seed(0)
    critic = shake(WGANCritic((3, 16, 16), 2, channels=2))
    y = x = double(4, 3, 16, 16)
    parameters = list(critic.parameters())
    for i in range(4):
        y = leaky(F.conv2d(y, parameters[2 * i], parameters[2 * i + 1], 2 - i % 2, padding=2))
    assert y.shape == (4, 8, 4, 4)
    torch.testing.assert_close(critic(x).features, y.flatten(1))
    torch.testing.assert_close(critic(x).score, y.flatten(1) @ parameters[8].T + parameters[9])


@pytest.mark.parametrize(
    "make",
    [
        lambda: WGANGenerator(8, (3, 16, 16), channels=8),
        lambda: WGANCritic((3, 16, 16), 9, channels=8),
        lambda: InstanceNormGenerator(8, (3, 8, 8), channels=8),
        lambda: InstanceNormDiscriminator((3, 8, 8), 9, channels=8),
    ],
)
def test_weights_start_after_glorot(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    for name, layer in make().named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            out, fan_in = layer.weight.flatten(1).shape
            fan_out = out * layer.weight[0, 0].numel()
            size = layer.weight.detach().abs() / math.sqrt(6 / (fan_in + fan_out))
            assert size.max() <= 1, name
            if size.numel() > 200:
                assert size.max() > 0.97, name
                assert size.mean().item() == pytest.approx(0.5, abs=0.07), name
            assert layer.bias is None or not layer.bias.any(), name


# recovery


def test_instance_norm_networks_have_the_published_widths() -> None:
    with torch.device("meta"):
        generator = InstanceNormGenerator(256, (1, 28, 28))
        discriminator = InstanceNormDiscriminator((1, 28, 28))
    up = [(512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 128)]
    total = 257 * 7 * 7 * 512 + 2 * 512 + sum(9 * a * b + 2 * b for a, b in up) + 128 + 1
    assert count(generator) == total
    down = [(1, 128), (128, 256), (256, 256), (256, 256), (256, 512), (512, 512), (512, 512)]
    total = sum(9 * a * b + 2 * b for a, b in down) + 7 * 7 * 512 + 1
    assert count(discriminator) == total


def test_instance_norm_networks_compute_their_layers() -> None:
    torch.manual_seed(0)
    generator = shake(InstanceNormGenerator(5, (3, 8, 12), channels=2))
    z = double(4, 5)
    dense, bias, *rest = generator.parameters()
    x = instance_norm(leaky(z @ dense.T + bias).reshape(4, 8, 2, 3), *rest[:2])
    for i in range(6):
        if i % 3 == 0:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        kernel, *scale = rest[2 + 3 * i : 5 + 3 * i]
        x = instance_norm(leaky(F.conv2d(x, kernel, padding=1)), *scale)
    truth = F.conv2d(x, rest[-2], rest[-1]).tanh()
    torch.testing.assert_close(generator(z), truth)

    discriminator = shake(InstanceNormDiscriminator((3, 8, 12), channels=2))
    y = x = double(4, 3, 8, 12)
    parameters = list(discriminator.parameters())
    for i in range(7):
        if i in {1, 4}:
            n, width, rows, columns = y.shape
            y = y.reshape(n, width, rows // 2, 2, columns // 2, 2).mean((3, 5))
        kernel, *scale = parameters[3 * i : 3 * i + 3]
        y = instance_norm(leaky(F.conv2d(y, kernel, padding=1)), *scale)
    torch.testing.assert_close(discriminator(x).features, y.flatten(1))
    truth = (y.flatten(1) @ parameters[-2].T)[:, 0] + parameters[-1]
    torch.testing.assert_close(discriminator(x).score, truth)


def instance_norm(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Norm of each sample over the places of each feature map."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-3).sqrt() * gain[:, None, None] + bias[:, None, None]
