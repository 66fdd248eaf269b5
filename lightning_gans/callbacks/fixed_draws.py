"""The latents of evaluations: the same every time, whichever process draws them."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.priors import Categories, Prior
from lightning_gans.rng import stream

BLOCK = 256


class FixedDraws:
    """Latents, and conditions of class-conditional models, that depend only on their index.

    They are drawn in blocks, each from its own random stream, so that neither the batch size nor
    the number of processes changes any of them. CPU and GPU draw different numbers.

    Args:
        prior: the distribution of the latents.
        categories: the distribution of the conditions; None if the model has none.
        device: on which they are drawn.
    """

    def __init__(
        self, prior: Prior, categories: Categories | None, device: torch.device | str
    ) -> None:
        self.prior, self.categories, self.device = prior, categories, device
        self.block: int | None = None
        self.z = self.c = torch.empty(0)

    def take(self, indices: range) -> tuple[Tensor, ...]:
        """The latents of these indices, (n, latent_dim), and any conditions, (n, sum(classes))."""
        found: list[tuple[Tensor, ...]] = []
        position = 0
        while position < len(indices):
            block = indices[position] // BLOCK
            inside = -(-((block + 1) * BLOCK - indices[position]) // indices.step)
            rows = [index % BLOCK for index in indices[position : position + inside]]
            found.append(tuple(part[rows] for part in self._draw(block)))
            position += len(rows)
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def _draw(self, block: int) -> tuple[Tensor, ...]:
        if block != self.block:
            random = stream(f"evaluation/{block}", device=self.device)
            self.block, self.z = block, self.prior.sample(BLOCK, random)
            if self.categories is not None:
                self.c = self.categories.sample(BLOCK, random)
        return (self.z,) if self.categories is None else (self.z, self.c)
