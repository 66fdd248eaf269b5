"""Layers against scipy and numpy, written from the definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional

from lightning_gans.networks.layers import (
    SMALL,
    Blur,
    DownConv2d,
    EqualizedConv2d,
    EqualizedLinear,
    UpConv2d,
    _constant,
)

Array = npt.NDArray[np.float64]
BINOMIAL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def correlate(image: Array, kernel: Array, before: int, after: int) -> Array:
    """A plane filtered as neural networks do it, after so many zeros before and after it."""
    return np.asarray(signal.correlate2d(np.pad(image, (before, after)), kernel, mode="valid"))


def plane_by_plane(x: Tensor, kernel: Array, before: int, after: int) -> Array:
    return np.stack([[correlate(c, kernel, before, after) for c in image] for image in x.numpy()])


def random_images(channels: int = 3, height: int = 6, width: int = 8) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, channels, height, width, dtype=torch.float64)


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_equalized_linear_keeps_the_variance_times_gain(gain: float) -> None:
    torch.manual_seed(0)
    layer = EqualizedLinear(300, 400, gain=gain)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.02)
    assert layer(torch.randn(1000, 300)).std().item() == pytest.approx(gain, rel=0.02)


@pytest.mark.parametrize("make", [EqualizedConv2d, UpConv2d, DownConv2d])
def test_kernels_are_standard_normal_and_gain_multiplies_the_output(
    make: type[EqualizedConv2d | UpConv2d | DownConv2d],
) -> None:
    torch.manual_seed(0)
    layer, louder = make(64, 48).double(), make(64, 48, gain=3.0).double()
    assert layer.weight.std().item() == pytest.approx(1, rel=0.02)
    louder.load_state_dict(layer.state_dict())
    x = torch.randn(1, 64, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(louder(x), 3 * layer(x))


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_equalized_conv_keeps_the_variance(kernel_size: int) -> None:
    torch.manual_seed(0)
    layer = EqualizedConv2d(64, 64, kernel_size)
    inside = layer(torch.randn(8, 64, 12, 12))[..., 1:-1, 1:-1]
    assert inside.std().item() == pytest.approx(1, rel=0.03)


def test_biases_start_at_zero_and_are_not_scaled() -> None:
    layers: list[EqualizedLinear | EqualizedConv2d | UpConv2d | DownConv2d] = [
        EqualizedLinear(5, 4, gain=0.5),
        EqualizedConv2d(5, 4, gain=0.5),
        UpConv2d(5, 4, gain=0.5),
        DownConv2d(5, 4, gain=0.5),
    ]
    for layer in layers:
        assert layer.bias is not None
        zeros = torch.zeros(1, 5) if isinstance(layer, EqualizedLinear) else torch.zeros(1, 5, 6, 6)
        assert not layer(zeros).any()
        nn.init.constant_(layer.bias, 3.0)
        assert (layer(zeros) == 3).all(), f"{layer} does not add its bias as it is"


@pytest.mark.parametrize("make", [EqualizedLinear, EqualizedConv2d, UpConv2d, DownConv2d])
def test_bias_can_be_left_out(
    make: type[EqualizedLinear | EqualizedConv2d | UpConv2d | DownConv2d],
) -> None:
    assert [name for name, _ in make(3, 4, bias=False).named_parameters()] == ["weight"]


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_equalized_conv_is_the_sum_of_correlations_over_channels(kernel_size: int) -> None:
    x, layer = random_images(), EqualizedConv2d(3, 2, kernel_size).double()
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    weight = layer.weight.detach().numpy() / np.sqrt(3 * kernel_size**2)
    truth = np.zeros((2, 2, 6, 8))
    for n, o, i in np.ndindex(2, 2, 3):
        truth[n, o] += correlate(x[n, i].numpy(), weight[o, i], before, after)
    np.testing.assert_allclose(layer(x).detach().numpy(), truth, atol=1e-12)


def test_blur_at_the_same_size() -> None:
    x = random_images()
    truth = plane_by_plane(x, BINOMIAL, before=1, after=2)
    np.testing.assert_allclose(Blur().double()(x).numpy(), truth, atol=1e-12)


def test_blur_down_keeps_every_second_pixel_of_a_filter_between_pixels() -> None:
    x = random_images()
    truth = plane_by_plane(x, BINOMIAL, before=1, after=1)[..., ::2, ::2]
    np.testing.assert_allclose(Blur().double().down(x).numpy(), truth, atol=1e-12)


def test_blur_up_filters_samples_at_odd_places_among_zeros() -> None:
    x = random_images()
    spread = torch.zeros(2, 3, 12, 16, dtype=torch.float64)
    spread[..., 1::2, 1::2] = x
    truth = plane_by_plane(spread, 4 * BINOMIAL, before=1, after=2)
    np.testing.assert_allclose(Blur().double().up(x).numpy(), truth, atol=1e-12)


def test_blur_up_is_bilinear_between_pixel_centres_with_zeros_around() -> None:
    x = random_images()
    padded = functional.pad(x, (1, 1, 1, 1))
    truth = functional.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Blur().double().up(x), truth[..., 2:-2, 2:-2])


def test_averages_of_neighbours_equal_the_blur_to_the_second_derivative() -> None:
    """What a GPU computes, on a CPU."""
    blur, v = Blur().double(), torch.randn(2, 3, 6, 8, dtype=torch.float64)
    pairs = [
        (blur.forward, blur.average),
        (blur.down, blur.average_down),
        (blur.up, blur.average_up),
    ]
    for convolved, averaged in pairs:
        found = []
        for function in (convolved, averaged):
            x = random_images().requires_grad_()
            y = function(x)
            (slope,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
            (curvature,) = torch.autograd.grad((slope * v).sum(), x)
            found.append((y, slope, curvature))
        torch.testing.assert_close(found[0], found[1])


def plain_filter(x: Tensor, before: int, after: int, factor: float = 1.0) -> Tensor:
    """The filter of every plane, as one convolution whose kernels are zero between channels."""
    channels = x.shape[1]
    kernel = x.new_zeros(channels, channels, 4, 4)
    for channel in range(channels):
        kernel[channel, channel] = factor * torch.from_numpy(BINOMIAL)
    return functional.conv2d(functional.pad(x, (before, after, before, after)), kernel)


def plain_down(x: Tensor) -> Tensor:
    return plain_filter(x, 1, 1)[..., ::2, ::2]


def plain_up(x: Tensor) -> Tensor:
    n, channels, height, width = x.shape
    zeros = torch.zeros_like(x)
    # every pixel becomes a block of zeros with the pixel at its lower right
    blocks = torch.stack([zeros, zeros, zeros, x], -1).view(*x.shape, 2, 2)
    spread = blocks.transpose(3, 4).reshape(n, channels, 2 * height, 2 * width)
    return plain_filter(spread, 1, 2, factor=4)


def plain_up_conv(layer: UpConv2d, x: Tensor) -> Tensor:
    side = layer.weight.shape[-1]
    big = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    start = side - 1 - (side - 1) // 2
    big = functional.pad(big, (start, side - 1 - start) * 2)
    weight = layer.weight.flip(2, 3) * layer.multiplier
    y = plain_filter(functional.conv2d(big, weight), 1, 2)
    return y if layer.bias is None else y + layer.bias


def plain_down_conv(layer: DownConv2d, x: Tensor) -> Tensor:
    side = layer.weight.shape[-1]
    before, after = (side - 1) // 2, side // 2
    blurred = functional.pad(plain_filter(x, 1, 2), (before, after) * 2)
    y = functional.conv2d(blurred, layer.weight * layer.multiplier, layer.bias)
    return functional.avg_pool2d(y, 2)


def all_orders(
    function: Callable[[Tensor], Tensor], x: Tensor, weights: Sequence[Tensor]
) -> list[Tensor]:
    """Values, gradients, and the gradients of a penalty of the gradient by x."""
    x = x.detach().requires_grad_()
    y = function(x)
    first = torch.autograd.grad(y.pow(3).sum(), [x, *weights], create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), [x, *weights], allow_unused=True)
    return [y, *first, *(slope for slope in second if slope is not None)]


SIDES = [(6, 8), (SMALL, 4), (2 * SMALL + 2, 6)]  # of all ways to filter
FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("height", "width"), SIDES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_way_to_blur_is_the_plain_one_to_the_second_derivative(
    height: int, width: int, memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    x = random_images(3, height, width).to(dtype).contiguous(memory_format=memory_format)
    blur, bound = Blur(), 1e-10 if dtype == torch.float64 else 1e-5
    pairs: list[tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
        (blur, lambda x: plain_filter(x, 1, 2)),
        (blur.down, plain_down),
        (blur.up, plain_up),
    ]
    for ours, plain in pairs:
        for found, expected in zip(all_orders(ours, x, []), all_orders(plain, x, []), strict=True):
            scale = expected.abs().max().item()
            torch.testing.assert_close(found, expected, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("height", "width"), SIDES)
@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("make", [UpConv2d, DownConv2d])
def test_changes_of_resolution_are_the_plain_ones_to_the_second_derivative(
    make: type[UpConv2d | DownConv2d],
    kernel_size: int,
    height: int,
    width: int,
    memory_format: torch.memory_format,
) -> None:
    x = random_images(3, height, width).contiguous(memory_format=memory_format)
    layer = make(3, 2, kernel_size, gain=1.5).double()
    assert layer.bias is not None
    nn.init.normal_(layer.bias)
    weights = [layer.weight, layer.bias]

    def plain(x: Tensor) -> Tensor:
        return plain_up_conv(layer, x) if isinstance(layer, UpConv2d) else plain_down_conv(layer, x)

    found, expected = all_orders(layer, x, weights), all_orders(plain, x, weights)
    for ours, theirs in zip(found, expected, strict=True):
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10 * scale)


def test_a_blur_first_used_in_an_evaluation_can_be_trained_through() -> None:
    _constant.cache_clear()
    with torch.inference_mode():
        Blur()(torch.zeros(1, 1, 6, 6))
    x = torch.zeros(1, 1, 6, 6, requires_grad=True)
    Blur()(x).sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 2, 2] == 1


def test_blur_has_nothing_to_learn_or_to_save() -> None:
    blur = Blur()
    assert not blur.state_dict()
    assert not list(blur.parameters())


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_up_conv_is_nearest_upsampling_then_convolution_then_blur(kernel_size: int) -> None:
    x, layer = random_images(), UpConv2d(3, 2, kernel_size, bias=False).double()
    weight = layer.weight.detach().numpy() / np.sqrt(3 * kernel_size**2)
    start = (kernel_size - 1) // 2
    truth = np.empty((2, 2, 12, 16))
    for n in range(2):
        for o in range(2):
            full = np.zeros((12 + kernel_size - 1, 16 + kernel_size - 1))
            for i in range(3):
                big = np.kron(x[n, i].numpy(), np.ones((2, 2)))
                full += signal.convolve2d(big, weight[o, i], mode="full")
            cropped = full[start : start + 12, start : start + 16]
            truth[n, o] = correlate(cropped, BINOMIAL, before=1, after=2)
    np.testing.assert_allclose(layer(x).detach().numpy(), truth, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_up_conv_is_a_sum_over_pixels_of_the_widened_kernel(kernel_size: int) -> None:
    torch.manual_seed(0)
    layer = UpConv2d(2, 1, kernel_size, bias=False).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    weight = layer.weight.detach().numpy() / np.sqrt(2 * kernel_size**2)
    painted = np.zeros((6 + kernel_size, 6 + kernel_size))
    for i in range(2):
        wide = np.zeros((kernel_size + 1, kernel_size + 1))
        for dy in range(2):
            for dx in range(2):
                wide[dy : dy + kernel_size, dx : dx + kernel_size] += weight[0, i]
        for y in range(3):
            for left in range(3):
                where = np.s_[
                    2 * y : 2 * y + kernel_size + 1, 2 * left : 2 * left + kernel_size + 1
                ]
                painted[where] += x[0, i, y, left].item() * wide
    start = (kernel_size + 1 - 2) // 2
    truth = correlate(painted[start : start + 6, start : start + 6], BINOMIAL, before=1, after=2)
    np.testing.assert_allclose(layer(x)[0, 0].detach().numpy(), truth, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_down_conv_is_blur_then_correlation_then_average_pooling(kernel_size: int) -> None:
    x, layer = random_images(), DownConv2d(3, 2, kernel_size, bias=False).double()
    weight = layer.weight.detach().numpy() / np.sqrt(3 * kernel_size**2)
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    blurred = plane_by_plane(x, BINOMIAL, before=1, after=2)
    truth = np.empty((2, 2, 3, 4))
    for n in range(2):
        for o in range(2):
            same = sum(correlate(blurred[n, i], weight[o, i], before, after) for i in range(3))
            truth[n, o] = np.asarray(same).reshape(3, 2, 4, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(layer(x).detach().numpy(), truth, atol=1e-12)
