"""Results by their bits, and whether this machine computes the bits of another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def sha256(tensor: Tensor) -> str:
    """The hash of a tensor's type, shape and elements."""
    x = tensor.detach().cpu().contiguous()
    return hashlib.sha256(f"{x.dtype}{tuple(x.shape)}".encode() + x.numpy().tobytes()).hexdigest()


def sha256_of_all(tensors: Mapping[str, Tensor]) -> str:
    """One hash of several tensors, which neither their names nor their order change."""
    return hashlib.sha256("".join(sorted(map(sha256, tensors.values()))).encode()).hexdigest()


def arithmetic() -> str:
    """The hash of what torch computes here: products, convolutions, powers and their gradients.

    Another torch or another type of CPU adds in another order, and its last bits differ. Where this
    hash is that of a recording, its results can be asked for bit by bit, on one thread.
    """
    random = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 9, 9, generator=random).requires_grad_()
    kernel = torch.randn(5, 3, 3, 3, generator=random).requires_grad_()
    matrix = torch.randn(7, 245, generator=random).requires_grad_()
    hidden = functional.leaky_relu(functional.conv2d(x, kernel, stride=2, padding=2), 0.2)
    hidden = functional.interpolate(hidden, size=(7, 7), mode="bilinear").flatten(1)
    y = functional.softplus(hidden @ matrix.T).tanh().pow(3).sub(0.1).square().mean(0).sqrt().exp()
    gradients = torch.autograd.grad(y.log().sum(), (x, kernel, matrix))
    return sha256_of_all({str(i): tensor for i, tensor in enumerate((y, *gradients))})
