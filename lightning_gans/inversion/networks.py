"""What inversion does to networks: a generator behind its prior's scale, and frozen weights."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

Module = TypeVar("Module")


class Scaled(nn.Module):
    """A generator that takes latents as the prior draws them, although it expects them scaled.

    For DLSGAN and other models with a scale: ``Scaled(model.generator, model.prior.scale())``.
    It is ``model.decode`` with gradients and without clipping.

    Args:
        generator: scaled latents, and conditions if it has any, to images.
        scale: (L,), see :meth:`lightning_gans.priors.Prior.scale`.
    """

    scale: Tensor

    def __init__(self, generator: nn.Module, scale: Tensor) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("scale", scale.detach().clone())

    def forward(self, z: Tensor, *conditions: Tensor) -> Tensor:
        """Latents (n, L), and conditions, to images (n, *shape)."""
        images: Tensor = self.generator(z * self.scale, *conditions)
        return images


def differentiable(module: Module) -> Module:
    """A module through which gradients flow: a copy, if its weights are inference tensors.

    Tensors that are made under ``torch.inference_mode()`` take no part in gradients, ever.
    """
    if not isinstance(module, nn.Module):
        return module  # which is refused elsewhere
    tensors = itertools.chain(module.parameters(), module.buffers())
    return copy.deepcopy(module) if any(t.is_inference() for t in tensors) else module


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Put networks in evaluation mode without gradients for their weights, then restore both."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    weights = [p for network in networks for p in network.parameters() if p.requires_grad]
    try:
        for network in networks:
            network.eval()
        for parameter in weights:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in weights:
            parameter.requires_grad_(True)
