"""Collective operations over the processes of a run; in a single process they do nothing.

All processes must call a function at the same point, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed

from lightning_gans.errors import UserError

T = TypeVar("T")


class ProcessLost(UserError, RuntimeError):
    """Another process of the run ended, or did not respond in time."""


@contextmanager
def translated_peer_errors() -> Iterator[None]:
    """Turn the error of a failed collective operation into one line.

    Raises:
        ProcessLost: if another process does not respond.
    """
    try:
        yield
    except RuntimeError as error:
        # "[/path/of/source.cc:561] Connection closed by peer [...]. This is typically ..."
        reason = re.sub(r"^\[\S+:\d+\] ", "", str(error).splitlines()[0]).partition(". ")[0]
        raise ProcessLost(
            f"another process of this run ended, or did not respond in time ({reason}); see its "
            "last message for the cause; ckpt_path=last resumes from the last checkpoint"
        ) from error


def _reduce(tensor: Tensor, op: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM) -> None:
    with translated_peer_errors():
        distributed.all_reduce(tensor, op)


def is_distributed() -> bool:
    """Whether the run has several processes."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def global_mean(values: Tensor) -> Tensor:
    """Mean over the rows of all processes, (n, d) to (d,); n may differ between processes."""
    return start_global_mean(values)()


def start_global_mean(values: Tensor) -> Callable[[], Tensor]:
    """Start to compute the :func:`global_mean`, which the result returns once it is called.

    What is computed between the two calls does not wait for the other processes.
    """
    if not is_distributed():
        mean = values.mean(0)
        return lambda: mean
    packed = torch.cat([values.sum(0), values.new_full((1,), len(values))])
    with translated_peer_errors():
        sent = distributed.all_reduce(packed, async_op=True)

    def wait() -> Tensor:
        with translated_peer_errors():
            sent.wait()
        return packed[:-1] / packed[-1:]

    return wait


class _Sum(torch.autograd.Function):
    """A sum over processes. All processes' losses depend on it, so its gradient is a sum too."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        _reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        return global_sum(gradients[0])


def global_sum(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes; can be differentiated repeatedly.

    Its gradient is that of the sum of all processes' losses, so all processes must differentiate.
    """
    if not is_distributed():
        return value
    total: Tensor = _Sum.apply(value)
    return total


def any_rank(flag: bool, device: torch.device | str = "cpu") -> bool:
    """Whether a flag is set in any process; ``device`` is one that the backend supports."""
    if not is_distributed():
        return flag
    return bool(all_reduce_max([float(flag)], device)[0])


def all_reduce_max(values: Sequence[float], device: torch.device | str = "cpu") -> list[float]:
    """The maximum of each value over processes; ``device`` is one that the backend supports."""
    if not is_distributed():
        return list(values)
    reduced = torch.tensor(values, dtype=torch.float32, device=device)
    _reduce(reduced, distributed.ReduceOp.MAX)
    maxima: list[float] = reduced.tolist()
    return maxima


def all_gather_object(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks; ``value`` must be picklable."""
    if not is_distributed():
        return [value]
    gathered: list[T | None] = [None] * distributed.get_world_size()
    with translated_peer_errors():
        distributed.all_gather_object(gathered, value)
    return [item for item in gathered if item is not None]


@torch.no_grad()
def average_gradients(
    parameters: Sequence[Tensor], finite: bool = True, bucket: int = 2**26
) -> bool:
    """Replace each gradient by its mean over all processes.

    A missing gradient counts as zero if another process has one; a parameter without a gradient in
    any process keeps none. If every process has the same number of rows, the gradient of a mean
    over rows is that of one process with all rows.

    Args:
        parameters: the same, in the same order, in all processes; at least one.
        finite: whether the loss of this process is finite.
        bucket: bytes that are sent at once; gradients are copied into buckets of at most this size
            (a larger gradient gets its own bucket).

    Returns:
        Whether the losses of all processes are finite. If not, gradients are of no use.
    """
    if not is_distributed():
        return finite
    used = [p.grad is not None for p in parameters]
    # with the gradients: each message takes longer than these few numbers
    flags = parameters[0].new_tensor([not finite, *used])
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    for part in _buckets([flags, *gradients], bucket):
        flat = torch.cat([g.reshape(-1) for g in part])
        _reduce(flat)
        flat /= distributed.get_world_size()
        for g, mean in zip(part, torch.split(flat, [g.numel() for g in part]), strict=True):
            g.copy_(mean.view_as(g))
    any_infinite, *any_used = flags.tolist()
    for parameter, gradient, needed in zip(parameters, gradients, any_used, strict=True):
        if needed:
            parameter.grad = gradient
    return not any_infinite


def _buckets(tensors: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type and device, of at most ``size`` bytes in total."""
    part: list[Tensor] = []
    filled = 0
    for tensor in tensors:
        alike = not part or (part[0].dtype, part[0].device) == (tensor.dtype, tensor.device)
        if part and (not alike or filled + tensor.nbytes > size):
            yield part
            part, filled = [], 0
        part.append(tensor)
        filled += tensor.nbytes
    if part:
        yield part


@torch.no_grad()
def broadcast_from_rank_zero(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of rank 0."""
    if is_distributed():
        for tensor in tensors:
            with translated_peer_errors():
                distributed.broadcast(tensor.data, src=0)


@torch.no_grad()
def first_difference(tensors: Iterable[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that is not identical, bit for bit, in all processes.

    Args:
        tensors: by name; the same names in the same order in all processes.
    """
    named = list(tensors)
    if not is_distributed() or not named:
        return None
    sums = torch.stack([_checksum(tensor) for _, tensor in named])
    low, high = sums.clone(), sums.clone()
    _reduce(low, distributed.ReduceOp.MIN)
    _reduce(high, distributed.ReduceOp.MAX)
    differs = (low != high).nonzero()
    return named[int(differs[0])][0] if len(differs) else None


def _checksum(tensor: Tensor) -> Tensor:
    """An integer that depends on every bit of a tensor and its position; sums wrap around."""
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.itemsize]
    bits = tensor.detach().contiguous().view(-1).view(whole).long()
    places = torch.arange(1, len(bits) + 1, device=bits.device)
    return (bits * (2 * places + 1)).sum()
