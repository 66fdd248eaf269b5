"""A trained model's networks as functions of plain tensors, with what surrounds them inside.

The scale of the prior is part of the generator: it takes latents as the prior draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from lightning_gans.inversion.networks import Scaled
from lightning_gans.models import Model
from lightning_gans.models.base.capabilities import Decodes, Encodes, PredictsLogits
from lightning_gans.rng import stream
from lightning_gans.validation import clip

Network = TypeVar("Network", bound=nn.Module)


class Part(NamedTuple):
    """One network of a model, as it is exported.

    Attributes:
        name: of its files, without the ending.
        module: a function of tensors; of several outputs, a tuple.
        inputs: names of the arguments.
        outputs: names of the results.
        example: draws arguments of a batch.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: Callable[[int], tuple[Tensor, ...]]


# size of the batch with which networks are traced
TRACED = 2


class GeneratorPart(nn.Module):
    """Latents of the prior to images.

    Two results: the images, in [-1, 1], and the same before they are clipped, which the
    reconstruction error takes.
    """

    def __init__(self, model: Decodes) -> None:
        super().__init__()
        self.scaled = Scaled(model.generator, model.prior.scale())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (n, L) to images (n, *shape), clipped and not."""
        unclipped = self.scaled(z)
        return clip(unclipped), unclipped


class ConditionalGeneratorPart(nn.Module):
    """Latents of the prior and conditions to images, as :class:`GeneratorPart`."""

    def __init__(self, model: Decodes) -> None:
        super().__init__()
        self.scaled = Scaled(model.generator, model.prior.scale())

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (n, L) and conditions (n, K) to images (n, *shape), clipped and not."""
        unclipped = self.scaled(z, c)
        return clip(unclipped), unclipped


class EncoderPart(nn.Module):
    """Images to unscaled codes, and their variances if the encoder predicts them."""

    def __init__(self, model: Encodes) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (n, *shape) to codes (n, L), and variances (n, L)."""
        found = self.model.encoding(x)
        return (found.code,) if found.variance is None else (found.code, found.variance)


class ClassifierPart(nn.Module):
    """Images to logits of labels, or of categories that the model found."""

    def __init__(self, model: PredictsLogits) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Images (n, *shape) to logits (n, K)."""
        return (self.model.class_logits(x),)


def parts_of(model: Model) -> list[Part]:
    """The networks of a trained model that can be used without it, in evaluation mode.

    Args:
        model: on the CPU; it is not changed.
    """
    model = deepcopy(model).eval().requires_grad_(False)
    shape, parts = model.image_shape, []

    def images(n: int) -> tuple[Tensor, ...]:
        return (torch.rand(n, *shape, generator=stream(f"export/{n}", seed=0)) * 2 - 1,)

    x = images(TRACED)[0]
    if isinstance(model, Decodes):
        dim, categories = model.prior.dim, model.categories

        def latents(n: int) -> tuple[Tensor, ...]:
            random = stream(f"export/{n}", seed=0)
            z = torch.randn(n, dim, generator=random)
            return (z,) if categories is None else (z, categories.sample(n, random).detach())

        inputs = ("z",) if categories is None else ("z", "c")
        generator: nn.Module = (
            GeneratorPart(model) if categories is None else ConditionalGeneratorPart(model)
        )
        outputs = ("image", "unclipped")
        parts.append(Part("generator", generator.eval(), inputs, outputs, latents))
    if isinstance(model, Encodes):
        found = ("code", "variance") if model.predicts_variance else ("code",)
        encoder = EncoderPart(without_unused(model, lambda m: m.encoding(x)))
        parts.append(Part("encoder", encoder.eval(), ("x",), found, images))
    if isinstance(model, PredictsLogits):
        classifier = ClassifierPart(without_unused(model, lambda m: m.class_logits(x))).eval()
        parts.append(Part("classifier", classifier, ("x",), ("logits",), images))
    return parts


def without_unused(model: Network, call: Callable[[Network], object]) -> Network:
    """A copy of a model without the networks that a call does not run.

    The program of an encoder then has no weights of a generator.
    """
    copied = deepcopy(model)
    ran: set[str] = set()
    hooks = [
        module.register_forward_hook(lambda *_, name=name: ran.add(name.partition(".")[0]))
        for name, module in copied.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            call(copied)
    finally:
        for hook in hooks:
            hook.remove()
    for name, child in list(copied.named_children()):
        if name not in ran and any(True for _ in child.parameters()):
            delattr(copied, name)
    return copied
