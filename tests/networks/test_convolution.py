"""Convolutions against torch's own, whose second derivatives are right but slow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_gans.networks.convolution import Conv2d, convolve, convolve_transposed

GEOMETRIES = [(1, 1, 1, 3), (2, 1, 1, 4), (2, 0, 2, 3), (1, 0, 4, 2), (1, 0, 1, 1)]
Convolve = Callable[..., Tensor]


def random_inputs(groups: int, side: int, transposed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Feature maps of 4 channels, kernels and a bias, in double precision."""
    torch.manual_seed(0)
    shape = (4, 8 // groups) if transposed else (8, 4 // groups)
    made = [torch.randn(2, 4, 6, 5), torch.randn(*shape, side, side), torch.randn(8)]
    x, weight, bias = (tensor.double().requires_grad_() for tensor in made)
    return x, weight, bias


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "padding", "groups", "side"), GEOMETRIES)
def test_first_and_second_derivatives_are_those_of_finite_differences(
    stride: int, padding: int, groups: int, side: int, transposed: bool
) -> None:
    torch.manual_seed(0)
    shape = (2, 4 // groups) if not transposed else (2, 2 // groups)
    if groups == 4:
        shape = (4, 1)
    channels = shape[0] if transposed else shape[1] * groups
    out = shape[1] * groups if transposed else shape[0]
    inputs = tuple(
        torch.randn(*size, dtype=torch.float64, requires_grad=True)
        for size in [(2, channels, 4, 5), (*shape, side, side), (out,)]
    )
    ours = convolve_transposed if transposed else convolve

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ours(x, weight, bias, stride=stride, padding=padding, groups=groups)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def three_orders(function: Callable[[], Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Values, gradients, and gradients of a penalty of the gradients by the first input."""
    y = function()
    first = torch.autograd.grad(y.pow(3).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(first[0].pow(3).sum(), inputs, create_graph=True)
    third = torch.autograd.grad(second[0].square().sum(), inputs)
    return [y, *first, *second, *third]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "padding", "groups", "side"), GEOMETRIES)
def test_three_orders_of_derivatives_are_those_of_torch(
    stride: int,
    padding: int,
    groups: int,
    side: int,
    transposed: bool,
    memory_format: torch.memory_format,
) -> None:
    x, weight, bias = random_inputs(groups, side, transposed)
    ours = convolve_transposed if transposed else convolve
    theirs = functional.conv_transpose2d if transposed else functional.conv2d
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "groups": groups}
    found, expected = (
        three_orders(
            lambda function=function: function(  # type: ignore[misc]
                x.contiguous(memory_format=memory_format), weight, bias, **settings
            ),
            [x, weight, bias],
        )
        for function in (ours, theirs)
    )
    for ours_, theirs_ in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-10, atol=1e-10)


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts convolutions, and their gradients by input and by weights."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            self.count["convolution"] += 1
        if func is torch.ops.aten.convolution_backward.default:
            self.count["by input"] += args[-1][0]
            self.count["by weights"] += args[-1][1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("scaled", [True, False])
def test_a_gradient_penalty_computes_nothing_that_it_does_not_need(scaled: bool) -> None:
    x, weight, bias = random_inputs(1, 3, transposed=False)
    with Calls() as first:
        y = convolve(x, weight * 2 if scaled else weight, bias)
        (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    assert first.count == {"convolution": 1, "by input": 1, "by weights": 0}
    with Calls() as second:
        slope.square().sum().backward()  # type: ignore[no-untyped-call]
    # of the slope: a convolution and weights; of the value, which is squared: as usual, but for x
    assert second.count == {"convolution": 1, "by input": 1, "by weights": 2}


def test_frozen_weights_get_no_gradient_and_cost_none() -> None:
    x, weight, bias = random_inputs(1, 3, transposed=False)
    with Calls() as calls:
        convolve(x, weight.detach(), bias.detach()).sum().backward()  # type: ignore[no-untyped-call]
    assert calls.count == {"convolution": 1, "by input": 1, "by weights": 0}
    assert weight.grad is None
    with Calls() as calls:
        convolve(x.detach(), weight, bias).sum().backward()  # type: ignore[no-untyped-call]
    assert calls.count == {"convolution": 1, "by input": 0, "by weights": 1}


@pytest.mark.parametrize("transposed", [False, True])
def test_autocast_computes_in_half_precision_as_torch_does(transposed: bool) -> None:
    x, weight, bias = (t.detach().float() for t in random_inputs(1, 3, transposed))
    weight.requires_grad_()
    results = []
    for function in (
        (convolve_transposed, functional.conv_transpose2d)
        if transposed
        else (convolve, functional.conv2d)
    ):
        weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            y = function(x, weight, bias)
        assert y.dtype == torch.bfloat16
        y.float().square().sum().backward()  # type: ignore[no-untyped-call]
        results.append((y, weight.grad))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("transposed", [False, True])
def test_autocast_leaves_double_precision_alone_as_torch_does(transposed: bool) -> None:
    x, weight, bias = random_inputs(1, 3, transposed)
    ours = convolve_transposed if transposed else convolve
    theirs = functional.conv_transpose2d if transposed else functional.conv2d
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = (function(x, weight, bias) for function in (ours, theirs))
    assert found.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("stride", "padding", "groups", "side"), GEOMETRIES)
def test_without_gradients_or_compiled_every_geometry_is_that_of_torch(
    stride: int, padding: int, groups: int, side: int, transposed: bool, compiled: bool
) -> None:
    x, weight, bias = random_inputs(groups, side, transposed)
    function: Any = convolve_transposed if transposed else convolve
    theirs = functional.conv_transpose2d if transposed else functional.conv2d
    if compiled:
        torch.compiler.reset()
        function = torch.compile(function, backend="eager", fullgraph=True)
    with torch.set_grad_enabled(compiled):
        found = function(x, weight, bias, stride=stride, padding=padding, groups=groups)
    expected = theirs(x, weight, bias, stride=stride, padding=padding, groups=groups)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert found.requires_grad == compiled


def test_a_layer_has_the_parameters_and_values_of_torchs() -> None:
    theirs = nn.Conv2d(4, 6, 4, stride=2, padding=1, groups=2).double()
    ours = Conv2d(4, 6, 4, stride=2, padding=1, groups=2).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    for a, b in zip(
        three_orders(lambda: ours(x), [x]), three_orders(lambda: theirs(x), [x]), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_compiled_network_is_traced_as_a_whole() -> None:
    layer = Conv2d(3, 4, 3, padding=1).double()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    compiled: Any = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
