"""Convolutions, filters and rectifiers as one node of the graph, with its own gradients.

All steps of such a function are linear, but for the signs that a rectifier sees. The gradient by
the input is therefore the same steps transposed, in reverse order; its own gradient, which a
gradient penalty needs, is again the steps themselves, with signs that are known; and the gradients
by weights pair what enters a step with the gradient at its end::

    forward          p₀ = x,  pᵢ = stepᵢ(pᵢ₋₁),  y = pₙ
    backward         gₙ = ∂loss/∂y,  gᵢ₋₁ = stepᵢᵀ(gᵢ);  by the weights of stepᵢ: pᵢ₋₁ ⊗ gᵢ
    backward of g₀   q₀ = ∂loss/∂g₀,  qᵢ = stepᵢ(qᵢ₋₁);  by gₙ: qₙ, by the weights: qᵢ₋₁ ⊗ gᵢ

Narrow networks mostly wait for memory. Within one node a rectifier works in place in both
directions, what two paths give is added where it lies, and nothing is recorded between steps.

Feature maps are (N, channels, height, width), on a CPU and with channels last in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional

from lightning_gans.compat import gradients_needed

from .convolution import Geometry, convolve

Maybe: TypeAlias = Tensor | None
Filtering: TypeAlias = Callable[[Tensor, Maybe], Tensor]

SLOPE = 0.2  # of a leaky rectifier, below zero


class Step(ABC):
    """A layer without the record of how to differentiate it.

    In the methods ``kernel`` is what :meth:`prepared` returned, ``entered`` what :meth:`forward`
    was given, ``own`` whether the first argument may be overwritten, and the result is added to
    ``into`` if that is given.

    Attributes:
        tensors: the weights, then the bias if there is one.
        keeps: whether a gradient needs what entered.
    """

    tensors: tuple[Tensor, ...] = ()
    keeps = False

    def prepared(self, tensors: Sequence[Tensor]) -> Maybe:
        """The weights as they are used."""
        return None

    @abstractmethod
    def forward(
        self, x: Tensor, kernel: Maybe, tensors: Sequence[Tensor], own: bool, into: Maybe
    ) -> Tensor:
        """The layer."""

    @abstractmethod
    def linear(self, x: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe) -> Tensor:
        """The layer without its bias, for the signs of what entered."""

    @abstractmethod
    def transposed(
        self, g: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe
    ) -> Tensor:
        """The gradient by the input of :meth:`linear`, of a loss that has ``g`` by the output."""

    def by_tensors(
        self, g: Tensor, kernel: Maybe, entered: Any, needed: Sequence[bool]
    ) -> list[Maybe]:
        """The gradients by ``tensors``, those that are needed."""
        return []

    @abstractmethod
    def differentiable(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """The layer, in terms of functions that have derivatives of any order."""


class Convolution(Step):
    """Keeps the resolution; an odd kernel.

    Args:
        weight: (out_channels, in_channels, side, side).
        bias: (out_channels,) or None.
        multiplier: of the weight.
        factor: of the bias.
    """

    keeps = True

    def __init__(self, weight: Tensor, bias: Maybe, multiplier: float, factor: float) -> None:
        self.tensors = (weight,) if bias is None else (weight, bias)
        self.multiplier, self.factor = multiplier, factor
        self.geometry = Geometry(padding=weight.shape[-1] // 2).arguments()

    def prepared(self, tensors: Sequence[Tensor]) -> Maybe:
        # channels last, as oneDNN copies it in each call: once for all gradients
        return _last(tensors[0] * self.multiplier)

    def forward(
        self, x: Tensor, kernel: Maybe, tensors: Sequence[Tensor], own: bool, into: Maybe
    ) -> Tensor:
        assert kernel is not None
        bias = None if len(tensors) < 2 else tensors[1]
        if bias is not None and self.factor != 1:
            bias = bias * self.factor
        return _added(_last(torch.convolution(x, kernel, bias, *self.geometry)), into)

    def linear(self, x: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe) -> Tensor:
        assert kernel is not None
        return _added(_last(torch.convolution(x, kernel, None, *self.geometry)), into)

    def transposed(
        self, g: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe
    ) -> Tensor:
        # of what entered only the shape matters
        found, _, _ = torch.ops.aten.convolution_backward(
            g, entered, kernel, None, *self.geometry, (True, False, False)
        )
        return _added(_last(found), into)

    def by_tensors(
        self, g: Tensor, kernel: Maybe, entered: Any, needed: Sequence[bool]
    ) -> list[Maybe]:
        found: list[Maybe] = [None] * len(needed)
        if needed[0]:
            _, by_kernel, _ = torch.ops.aten.convolution_backward(
                g, entered, kernel, None, *self.geometry, (False, True, False)
            )
            found[0] = by_kernel.contiguous().mul_(self.multiplier)
        if len(needed) > 1 and needed[1]:
            found[1] = _by_bias(g, self.factor)
        return found

    def differentiable(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        bias = tensors[1] * self.factor if len(tensors) > 1 else None
        padding = self.tensors[0].shape[-1] // 2
        return convolve(x, tensors[0] * self.multiplier, bias, padding=padding)


class Pointwise(Step):
    """A convolution with kernels of one pixel: a matrix product.

    Args:
        weight: (out_channels, in_channels, 1, 1).
        bias: (out_channels,) or None.
        multiplier: of the weight.
        factor: of the bias.
    """

    keeps = True

    def __init__(self, weight: Tensor, bias: Maybe, multiplier: float, factor: float) -> None:
        self.tensors = (weight,) if bias is None else (weight, bias)
        self.multiplier, self.factor = multiplier, factor

    def prepared(self, tensors: Sequence[Tensor]) -> Maybe:
        return tensors[0].flatten(1) * self.multiplier

    def forward(
        self, x: Tensor, kernel: Maybe, tensors: Sequence[Tensor], own: bool, into: Maybe
    ) -> Tensor:
        assert kernel is not None
        if len(tensors) < 2:
            return self.linear(x, kernel, None, own, into)
        bias = tensors[1] if self.factor == 1 else tensors[1] * self.factor
        assert into is None
        return _maps(torch.addmm(bias, _rows(x), kernel.t()), x)

    def linear(self, x: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe) -> Tensor:
        assert kernel is not None
        return _product(x, kernel.t(), into)

    def transposed(
        self, g: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe
    ) -> Tensor:
        assert kernel is not None
        return _product(g, kernel, into)

    def by_tensors(
        self, g: Tensor, kernel: Maybe, entered: Any, needed: Sequence[bool]
    ) -> list[Maybe]:
        found: list[Maybe] = [None] * len(needed)
        if needed[0]:
            by_kernel = torch.mm(_rows(g).t(), _rows(entered)).mul_(self.multiplier)
            found[0] = by_kernel[..., None, None]
        if len(needed) > 1 and needed[1]:
            found[1] = _by_bias(g, self.factor)
        return found

    def differentiable(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        bias = tensors[1] * self.factor if len(tensors) > 1 else None
        weight = tensors[0][..., 0, 0] * self.multiplier
        return functional.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


class Rectifier(Step):
    """Leaky, with slope 0.2."""

    keeps = True

    def forward(
        self, x: Tensor, kernel: Maybe, tensors: Sequence[Tensor], own: bool, into: Maybe
    ) -> Tensor:
        y = functional.leaky_relu_(x, SLOPE) if own else functional.leaky_relu(x, SLOPE)
        return _added(y, into)

    def linear(self, x: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe) -> Tensor:
        return self.transposed(x, kernel, entered, own, into)

    def transposed(
        self, g: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe
    ) -> Tensor:
        # what entered was overwritten with what left, which has the same signs
        assert entered is not None
        if own:
            found = torch.ops.aten.leaky_relu_backward.grad_input(
                g, entered, SLOPE, False, grad_input=g
            )
        else:
            found = torch.ops.aten.leaky_relu_backward(g, entered, SLOPE, False)
        return _added(found, into)

    def differentiable(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        return functional.leaky_relu(x, SLOPE)


RECTIFIER = Rectifier()


class Filter(Step):
    """The same filter of every channel; it has no weights.

    Args:
        filtered: the filter of feature maps, added to others if they are given.
        transposed: its transposed.
    """

    def __init__(self, filtered: Filtering, transposed: Filtering) -> None:
        self._filtered, self._transposed = filtered, transposed

    def forward(
        self, x: Tensor, kernel: Maybe, tensors: Sequence[Tensor], own: bool, into: Maybe
    ) -> Tensor:
        return self._filtered(x, into)

    def linear(self, x: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe) -> Tensor:
        return self._filtered(x, into)

    def transposed(
        self, g: Tensor, kernel: Maybe, entered: Maybe, own: bool, into: Maybe
    ) -> Tensor:
        return self._transposed(g, into)

    def differentiable(self, x: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        return self._filtered(x, None)


class Move(NamedTuple):
    """Steps from one value to another; what several moves bring to the same target is added.

    Attributes:
        source: index of the value that the steps start from.
        steps: at least one. Those of the second move to a target may end with a rectifier, those of
            the first not, since the second is added to its result where that lies.
        target: index of the value that they lead to.
    """

    source: int
    steps: tuple[Step, ...]
    target: int


class Piecewise:
    """A function that is linear but for the signs at its rectifiers.

    Its values are numbered: first its inputs, then the targets of the moves; the last one is the
    result.

    Args:
        inputs: number of inputs.
        moves: in order.
    """

    def __init__(self, inputs: int, moves: Sequence[Move]) -> None:
        self.inputs, self.moves = inputs, moves
        self.values = 1 + moves[-1].target
        self.steps = [step for move in moves for step in move.steps]
        self.tensors = [tensor for step in self.steps for tensor in step.tensors]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The result for feature maps with channels last in memory, with all derivatives."""
        if not torch.is_grad_enabled():
            return self.forward(inputs, self.tensors)[0]
        y: Tensor = _Piecewise.apply(*inputs, *self.tensors, self)
        return y

    def forward(
        self, inputs: Sequence[Tensor], tensors: Sequence[Tensor]
    ) -> tuple[Tensor, list[Maybe], list[Maybe]]:
        """The result, and for each step what enters it and the weights as they are used."""
        values: list[Any] = [*inputs, *[None] * (self.values - self.inputs)]
        entered: list[Maybe] = []
        kernels: list[Maybe] = []
        place = 0
        for source, steps, target in self.moves:
            x, own = values[source], False
            for k, step in enumerate(steps, 1):
                after = place + len(step.tensors)
                used, place = tensors[place:after], after
                kernel = step.prepared(used)
                entered.append(x if step.keeps else None)
                kernels.append(kernel)
                into = values[target] if k == len(steps) else None
                x, own = step.forward(x, kernel, used, own, into), True
            values[target] = x
        return values[-1], entered, kernels

    def backward(
        self,
        g: Tensor,
        entered: Sequence[Maybe],
        kernels: Sequence[Maybe],
        needed: Sequence[bool],
    ) -> tuple[list[Maybe], list[Maybe]]:
        """The gradients by inputs and tensors, and those at the end of each step with weights."""
        # of which values a gradient is needed, and at the start of which steps
        wanted, starts, place = [*needed[: self.inputs], *[False] * self.values], [], self.inputs
        for source, steps, target in self.moves:
            on = wanted[source]
            for step in steps:
                starts.append(on)
                after = place + len(step.tensors)
                on, place = on or any(needed[place:after]), after
            wanted[target] = wanted[target] or on
        slopes: list[Any] = [*[None] * (self.values - 1), _last(g)]
        ends: list[Maybe] = [None] * len(self.steps)
        found: list[Maybe] = [None] * len(needed)
        i = len(self.steps)
        for source, steps, target in reversed(self.moves):
            x, own = slopes[target], False
            for k in range(len(steps) - 1, -1, -1):
                step, i = steps[k], i - 1
                p = entered[i]
                if count := len(step.tensors):
                    ends[i] = x
                    before = place - count
                    if any(needed[before:place]):
                        found[before:place] = step.by_tensors(
                            x, kernels[i], p, needed[before:place]
                        )
                    place = before
                if starts[i]:
                    into = None if k else slopes[source]
                    x, own = step.transposed(x, kernels[i], p, own, into), True
            if wanted[source]:
                slopes[source] = x
        found[: self.inputs] = slopes[: self.inputs]
        return found, ends

    def tangent(
        self,
        to_inputs: Sequence[Maybe],
        entered: Sequence[Maybe],
        kernels: Sequence[Maybe],
        ends: Sequence[Any],
        needed: Sequence[bool],
    ) -> list[Maybe]:
        """The gradients of ``backward`` by g and by the tensors, those that are needed.

        Args:
            to_inputs: gradients of a loss by the results of ``backward`` for the inputs.
            entered: what enters each step.
            kernels: the weights as they are used.
            ends: the gradients at the end of each step.
            needed: by g, then by each of the tensors.
        """
        values: list[Any] = [*to_inputs, *[None] * (self.values - self.inputs)]
        found: list[Maybe] = [None] * len(needed)
        last = (
            len(needed) if needed[0] else max((i for i, on in enumerate(needed) if on), default=0)
        )
        place, i = 1, 0
        for source, steps, target in self.moves:
            x, own = values[source], False
            if x is not None:
                x = _last(x)
            for k, step in enumerate(steps, 1):
                if x is not None:
                    if step.tensors and needed[place]:
                        # nothing here depends on a bias
                        found[place] = step.by_tensors(
                            ends[i], kernels[i], x, needed[place : place + 1]
                        )[0]
                    if place + len(step.tensors) <= last:
                        into = values[target] if k == len(steps) else None
                        x, own = step.linear(x, kernels[i], entered[i], own, into), True
                place += len(step.tensors)
                i += 1
            if x is not None:
                values[target] = x
        if needed[0]:
            found[0] = values[-1]
        return found

    def differentiable(self, inputs: Sequence[Tensor], tensors: Sequence[Tensor]) -> Tensor:
        """The result, in terms of functions that have derivatives of any order."""
        values: list[Any] = [*inputs, *[None] * (self.values - self.inputs)]
        place = 0
        for source, steps, target in self.moves:
            x = values[source]
            for step in steps:
                after = place + len(step.tensors)
                x, place = step.differentiable(x, tensors[place:after]), after
            values[target] = x if values[target] is None else values[target] + x
        result: Tensor = values[-1]
        return result


class _Piecewise(torch.autograd.Function):
    """The result of a :class:`Piecewise`, from its inputs and tensors."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *given, function = arguments
        y, entered, kernels = function.forward(given[: function.inputs], given[function.inputs :])
        ctx.save_for_backward(*given, *entered, *kernels)
        ctx.function, ctx.count = function, len(given)
        return cast("Tensor", y)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Maybe, ...]:
        function, saved, count = ctx.function, ctx.saved_tensors, ctx.count
        needed = gradients_needed(ctx, count)
        if not torch.is_grad_enabled():
            half = count + len(function.steps)
            return *function.backward(g, saved[count:half], saved[half:], needed)[0], None
        if any(needed[function.inputs :]):
            return *_recorded(function, saved[:count], g, needed), None
        found = _Slopes.apply(g, *saved, needed, function)
        return *found, *[None] * (count - function.inputs), None


class _Slopes(torch.autograd.Function):
    """The gradients by the inputs of a :class:`Piecewise`, of a loss that has g by its result."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, *arguments: Any) -> tuple[Maybe, ...]:
        *saved, needed, function = arguments
        count = function.inputs + len(function.tensors)
        half = count + len(function.steps)
        found, ends = function.backward(g, saved[count:half], saved[half:], needed)
        ctx.save_for_backward(g, *saved, *ends)
        ctx.set_materialize_grads(False)
        ctx.function, ctx.needed = function, needed
        return tuple(found[: function.inputs])

    @staticmethod
    def backward(ctx: Any, *to_inputs: Maybe) -> tuple[Maybe, ...]:
        function, (g, *saved) = ctx.function, ctx.saved_tensors
        inputs, steps = function.inputs, len(function.steps)
        count = inputs + len(function.tensors)
        # by g and by the tensors: signs do not depend on the inputs
        needed = gradients_needed(ctx, 1 + count)
        del needed[1 : 1 + inputs]
        if torch.is_grad_enabled():
            found = _recorded_slopes(function, saved[:count], g, to_inputs, ctx.needed, needed)
        else:
            parts = (saved[count + i * steps : count + (i + 1) * steps] for i in range(3))
            found = function.tangent(to_inputs, *parts, needed)
        return found[0], *[None] * inputs, *found[1:], *[None] * (2 * steps + 2)


def _recorded(
    function: Piecewise, given: Sequence[Tensor], g: Tensor, needed: Sequence[bool]
) -> list[Maybe]:
    """The gradients of the result by what was given, differentiable themselves."""
    with torch.enable_grad():
        given = [each.view_as(each) for each in given]
        y = function.differentiable(given[: function.inputs], given[function.inputs :])
        return _gradients([y], given, [g], needed)


def _recorded_slopes(
    function: Piecewise,
    given: Sequence[Tensor],
    g: Tensor,
    to_inputs: Sequence[Maybe],
    inputs_needed: Sequence[bool],
    needed: Sequence[bool],
) -> list[Maybe]:
    """The gradients of those by the inputs by g and by the tensors, differentiable themselves."""
    with torch.enable_grad():
        inputs = [x.detach().requires_grad_() for x in given[: function.inputs]]
        own = [each.view_as(each) for each in (g, *given[function.inputs :])]
        y = function.differentiable(inputs, own[1:])
        slopes = _gradients([y], inputs, [own[0]], inputs_needed[: function.inputs])
        pairs = [
            (slope, to)
            for slope, to in zip(slopes, to_inputs, strict=True)
            if slope is not None and to is not None
        ]
        return _gradients([slope for slope, _ in pairs], own, [to for _, to in pairs], needed)


def _gradients(
    of: Sequence[Tensor], by: Sequence[Tensor], slopes: Sequence[Tensor], needed: Sequence[bool]
) -> list[Maybe]:
    wanted = [each for each, on in zip(by, needed, strict=True) if on]
    if not wanted:
        return [None] * len(by)
    found = iter(torch.autograd.grad(of, wanted, slopes, create_graph=True, allow_unused=True))
    return [next(found) if on else None for on in needed]


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _by_bias(g: Tensor, factor: float) -> Tensor:
    found = g.sum((0, 2, 3))
    return found if factor == 1 else found.mul_(factor)


def _rows(x: Tensor) -> Tensor:
    """Feature maps as a matrix of a row for each pixel, in the same memory."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    n, _, height, width = like.shape
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


def _product(x: Tensor, matrix: Tensor, into: Maybe) -> Tensor:
    if into is None:
        return _maps(torch.mm(_rows(x), matrix), x)
    _rows(into).addmm_(_rows(x), matrix)
    return into


def _added(x: Tensor, into: Maybe) -> Tensor:
    return x if into is None else into.add_(x)
