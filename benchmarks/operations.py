"""The operations of an iteration: which there are, and how much they compute and move.

A product is a convolution, a matrix product, or a gradient of either: 2 operations for each
multiplication and addition of its sum, zeros of the padding included. torch's own counter agrees,
except for the gradients of convolutions in groups, which it counts as if there were one group.
Everything else is counted by the bytes that it reads and writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

# they allocate or look at memory, and the schema does not tell
FREE = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten._unsafe_view}

# one element of an argument: a tensor's shape, strides and type, or the argument itself
Spec = Any


@dataclass(frozen=True)
class Tensorlike:
    """What a tensor's time depends on, without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def made(self) -> Tensor:
        """A random tensor like it, with elements that share memory where its do."""
        length = 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        found = torch.zeros(max(0, length), dtype=self.dtype)
        if self.dtype.is_floating_point:
            found.normal_()
        return found.as_strided(self.shape, self.stride)


@dataclass(frozen=True)
class Call:
    """One operation as it was called.

    Attributes:
        name: of the operator, such as ``aten.convolution.default``.
        arguments: tensors as :class:`Tensorlike`, others as they are.
        part: of the iteration that it belongs to.
        operations: of a product; 0 for others.
        bytes: that are read and written.
        tensors: into how many pieces they are divided: 1, or more for a list of tensors.
    """

    name: str
    arguments: tuple[Spec, ...]
    part: str
    operations: int
    bytes: int
    tensors: int = 1

    @property
    def kind(self) -> str:
        """Which product it is: of the layers themselves, or of their gradients."""
        if "convolution_backward" in self.name:
            which = [
                n for n, on in zip(("input", "weight"), self.arguments[10], strict=False) if on
            ]
            return "convolutions' gradient of " + " and ".join(which)
        return "convolutions" if "convolution" in self.name else "matrix products"

    def repeat(self) -> Callable[[], object]:
        """A function that makes this call alone, on random tensors of its own."""
        operator: Any = aten
        for part in self.name.split(".")[1:]:
            operator = getattr(operator, part)
        arguments = [
            each.made() if isinstance(each, Tensorlike) else each for each in self.arguments
        ]
        return lambda: operator(*arguments)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation while it is entered; gradients and their gradients too.

    Args:
        part: tells which part of the iteration is being computed.
    """

    def __init__(self, part: Callable[[], str] = lambda: "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part = part
        self.calls: list[Call] = []

    def start(self) -> None:
        """Record from here on, until ``stop``."""
        self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """Record no more."""
        self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        moved, count = bytes_moved(func, args, kwargs or {}, result), operations(func, args, result)
        if moved or count:
            spec = tuple(described(each) for each in args) if count else ()
            pieces = max((len(each) for each in args if is_list(each)), default=1)
            self.calls.append(Call(str(func), spec, self.part(), count, moved, pieces))
        return result


def described(argument: Any) -> Spec:
    """An argument without values, so that equal calls are equal."""
    if isinstance(argument, Tensor):
        return Tensorlike(tuple(argument.shape), argument.stride(), argument.dtype)
    return tuple(argument) if isinstance(argument, list) else argument


def operations(func: Any, args: tuple[Any, ...], result: Any) -> int:
    """Operations of a product; 0 if it is none."""
    packet = func.overloadpacket
    if packet in {aten.convolution, aten._convolution}:
        x, weight, transposed = args[0], args[1], args[6]
        return convolution(x if transposed else result, weight)
    if packet == aten.convolution_backward:
        gradient, x, weight, transposed, wanted = *args[:3], args[7], args[10]
        # each of the two gradients is a product of as many pairs as the convolution itself
        return int(wanted[0] + wanted[1]) * convolution(x if transposed else gradient, weight)
    if packet in {aten.mm, aten.bmm}:
        return 2 * int(result.numel() * args[0].shape[-1])
    if packet in {aten.addmm, aten.baddbmm}:
        return 2 * int(result.numel() * args[1].shape[-1])
    return 0


def convolution(smaller: Tensor, weight: Tensor) -> int:
    """Operations of a convolution; ``smaller`` is its output, or its input if it is transposed."""
    # weight[0] has the channels of one group
    return 2 * smaller.numel() * math.prod(weight.shape[1:])


def bytes_moved(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """Bytes that an operation reads and writes; views move none."""
    schema = func._schema
    if func.overloadpacket in FREE:
        return 0
    views = [r.alias_info is not None and not r.alias_info.is_write for r in schema.returns]
    if any(views):
        return 0
    total = 0
    given = [*zip(schema.arguments, args, strict=False)]
    given += [(a, kwargs[a.name]) for a in schema.arguments if a.name in kwargs]
    for argument, value in given:
        written = argument.alias_info is not None and argument.alias_info.is_write
        total += (1 + written) * sum(size(each) for each in tensors(value))
    new = [r for r in schema.returns if r.alias_info is None]
    return total + (sum(size(each) for each in tensors(result)) if new else 0)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an argument or result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each)


def is_list(value: Any) -> bool:
    """Whether an argument is a list of tensors, each of which is computed alone."""
    return isinstance(value, (tuple, list)) and bool(value) and isinstance(value[0], Tensor)


def size(tensor: Tensor) -> int:
    """Bytes of its elements; of one that is expanded, those in memory."""
    elements = math.prod(
        n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or n == 0
    )
    return elements * tensor.element_size()
