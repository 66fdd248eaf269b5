"""Labels as input of a generator, in addition to its latent.

A label of k classes is a row of k numbers: one-hot, or probabilities, through which gradients flow.
Several labels are concatenated: with ``classes`` (2, 3), rows have 5 elements.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def input_dim(latent_dim: int, classes: tuple[int, ...]) -> int:
    """Width of a generator's input: the latent's and one number for each class.

    Raises:
        ValueError: if a label has no class.
    """
    if min(classes, default=1) < 1:
        raise ValueError(f"every label needs at least 1 class; got classes={tuple(classes)}")
    return latent_dim + sum(classes)


def standardize(c: Tensor, classes: tuple[int, ...]) -> Tensor:
    """Give every element zero mean and unit variance under uniform classes.

    A label c of k classes becomes (c·k - 1) / sqrt(k - 1), so that it has the moments of a latent.
    A label with a single class carries no information and becomes 0. The published code does this
    for every network with labels; the thesis does not mention it.

    Args:
        c: concatenated labels, (N, sum(classes)).
        classes: number of classes of each label, each at least 1.
    """
    return torch.cat(
        [
            (label * k - 1) / math.sqrt(k - 1) if k > 1 else label * 0
            for label, k in zip(torch.split(c, list(classes), 1), classes, strict=True)
        ],
        1,
    )


def with_classes(z: Tensor, c: Tensor | None, classes: tuple[int, ...]) -> Tensor:
    """Join latents and standardised labels, (N, latent_dim + sum(classes)); without labels, ``z``.

    Args:
        z: latents, (N, latent_dim).
        c: concatenated labels, (N, sum(classes)); None if there are none.
        classes: number of classes of each label.

    Raises:
        ValueError: if ``c`` is missing or of another shape, or given where there are no labels.
    """
    if not classes and c is None:
        return z
    return torch.cat([z, standardize(required(c, z.shape[0], classes), classes)], 1)


def required(c: Tensor | None, rows: int, classes: tuple[int, ...]) -> Tensor:
    """The labels, if a generator of ``classes`` can take them with ``rows`` latents.

    Raises:
        ValueError: if not.
    """
    if not classes and c is not None:
        raise ValueError(
            f"a generator without classes got labels {tuple(c.shape)}; call it with latents only, "
            "or make it with classes="
        )
    if c is None or c.shape != (rows, sum(classes)):
        raise ValueError(
            f"a generator of classes={classes} expects labels one-hot side by side, "
            f"{(rows, sum(classes))}; got {'none' if c is None else tuple(c.shape)}"
        )
    return c
