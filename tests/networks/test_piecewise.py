"""Piecewise linear functions as one node, compared with the same layers called one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.networks import BlurredDiscriminator, BlurredGenerator
from lightning_gans.networks.layers import DOWN, SMALL, UP, EqualizedConv2d, fast_layout, step
from lightning_gans.networks.piecewise import RECTIFIER, Move, Piecewise
from lightning_gans.networks.residual_block import Residual

Network = BlurredDiscriminator | BlurredGenerator
Result = Tensor | None


def one_by_one(network: nn.Module) -> None:
    """Hooks on its layers, which have to see what enters and leaves each of them."""
    for layer in network.modules():
        if isinstance(layer, EqualizedConv2d):
            layer.register_forward_hook(lambda *_: None)


def output(network: Network, x: Tensor) -> Tensor:
    y = network(x)
    return y if isinstance(y, Tensor) else torch.cat([y.score[:, None], y.code, y.features], 1)


def derivatives(network: Network, x: Tensor) -> list[Result]:
    """The output, its gradients, those of a penalty of them, and those of a penalty of these."""
    x, weights = x.detach().requires_grad_(), list(network.parameters())
    y = output(network, x)
    (slope,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
    second = gradients(slope.pow(3).sum(), [x, *weights], create_graph=True)
    third = gradients(total(second), [x, *weights])
    # the gradients by weights can be penalised too
    first = gradients(output(network, x).pow(3).sum(), [x, *weights], create_graph=True)
    mixed = gradients(total(first), [x, *weights])
    return [y, slope, *second, *third, *first, *mixed]


def gradients(loss: Tensor, by: list[Tensor], create_graph: bool = False) -> list[Result]:
    found = torch.autograd.grad(
        loss, by, create_graph=create_graph, retain_graph=True, allow_unused=True
    )
    return list(found)


def total(found: list[Result]) -> Tensor:
    parts = [each.square().sum() for each in found if each is not None and each.requires_grad]
    return torch.stack(parts).sum()


def networks(side: int) -> list[tuple[Network, Tensor]]:
    """A discriminator and a generator in double precision with random biases, and inputs."""
    torch.manual_seed(0)
    narrow: dict[str, Any] = {"channels": 2, "max_channels": 4}
    pairs: list[tuple[Network, Tensor]] = [
        (BlurredDiscriminator((3, side, side), 1, 2, **narrow), torch.randn(2, 3, side, side)),
        (BlurredGenerator(5, (3, side, side), **narrow), torch.randn(2, 5)),
    ]
    for network, _ in pairs:
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    return [(network.double(), x.double()) for network, x in pairs]


def assert_equal(found: list[Result], expected: list[Result]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        # a gradient that is zero may be left out
        if ours is None or theirs is None:
            assert all(each is None or not each.any() for each in (ours, theirs))
            continue
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("side", [16, 2 * SMALL])
@pytest.mark.parametrize("index", [0, 1])
def test_all_derivatives_are_those_of_the_layers_one_by_one(index: int, side: int) -> None:
    network, x = networks(side)[index]
    found = derivatives(network, x)
    one_by_one(network)
    assert_equal(found, derivatives(network, x))


def nodes(y: Tensor) -> set[str]:
    """Names of all functions that a result was computed with."""
    seen, left = set(), [y.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [before for before, _ in node.next_functions]
    return {type(node).__name__ for node in seen}


def test_hooks_on_a_layer_and_half_precision_run_the_layers_one_by_one() -> None:
    network, x = networks(16)[0]
    at_once, alone = "_PiecewiseBackward", "_ConvolutionBackward"
    assert {at_once, alone} & nodes(output(network, x)) == {at_once}
    seen: list[Tensor] = []
    hook = network.blocks[1].main[2].register_forward_hook(lambda _, __, y: seen.append(y))  # type: ignore[index,union-attr]  # a block of layers
    assert {at_once, alone} & nodes(output(network, x)) == {alone}
    assert len(seen) == 1
    hook.remove()
    assert at_once in nodes(output(network, x))
    narrow = network.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert at_once not in nodes(narrow(x.float()).features)


def test_a_changed_layer_is_used_as_it_is() -> None:
    network, x = networks(16)[0]
    before = output(network, x)
    first = network.blocks[0]
    assert isinstance(first, Residual)
    first.main[1] = nn.LeakyReLU(0.5)
    assert not torch.allclose(output(network, x), before)


def test_values_stay_as_they_were_and_can_be_differentiated_twice() -> None:
    """What is overwritten in place belongs to the function alone."""
    network, x = networks(16)[1]
    features = fast_layout(torch.randn(2, 4, 4, 4, dtype=torch.float64)).requires_grad_()
    layer = EqualizedConv2d(4, 4).double()
    paths: list[Callable[[], Piecewise]] = [
        lambda: Piecewise(1, [Move(0, (RECTIFIER, step(layer)), 1)]),
        lambda: Piecewise(1, [Move(0, (UP, DOWN), 1), Move(0, (step(layer), RECTIFIER), 1)]),
    ]
    for path in paths:
        kept = features.detach().clone()
        y = path()(features)
        slope = torch.randn_like(y)
        was = slope.clone()
        once = torch.autograd.grad(y, [features, *layer.parameters()], slope, retain_graph=True)
        again = torch.autograd.grad(y, [features, *layer.parameters()], slope)
        assert_equal(list(once), list(again))
        assert torch.equal(features, kept)
        assert torch.equal(slope, was)
    y = output(network, x)
    with torch.no_grad():
        assert torch.equal(output(network, x), y)


def test_frozen_layers_get_no_gradient() -> None:
    network, x = networks(16)[0]
    x.requires_grad_()
    expected = torch.autograd.grad(output(network, x).sum(), x)[0]
    for parameter in network.blocks[1].parameters():
        parameter.requires_grad_(False)
    output(network, x).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected)
    frozen = {id(parameter) for parameter in network.blocks[1].parameters()}
    for parameter in network.parameters():
        assert (parameter.grad is None) == (id(parameter) in frozen)


def test_the_filters_of_a_step_are_transposed_to_each_other() -> None:
    for size in (4, SMALL, 2 * SMALL):
        for filtered in (UP, DOWN):
            x = torch.randn(2, 3, size, size, dtype=torch.float64, requires_grad=True)
            y = filtered.differentiable(x, ())
            g = torch.randn_like(y)
            (expected,) = torch.autograd.grad(y, x, g)
            into = torch.randn_like(expected)
            with torch.no_grad():
                found = filtered.transposed(g, None, None, False, into.clone())
            torch.testing.assert_close(found, into + expected)
