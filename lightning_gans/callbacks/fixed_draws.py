"""The latents of evaluations: the same set every time, whoever draws which of them."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gans.priors import Categories, Prior
from lightning_gans.rng import stream

BLOCK = 256


class FixedDraws:
    """Latents, and conditions of class-conditional models, that depend on their index alone.

    They are drawn in blocks, each from a stream of its own, so that neither the size of batches nor
    the number of processes among which they are shared changes any of them, but for the rounding
    and the random numbers of other kinds of devices.

    Args:
        prior: of the latents.
        categories: of the conditions; None without.
        device: where they are drawn.
    """

    def __init__(
        self, prior: Prior, categories: Categories | None, device: torch.device | str
    ) -> None:
        self.prior, self.categories, self.device = prior, categories, device
        self.block: int | None = None
        self.z = self.c = torch.empty(0)

    def take(self, indices: range) -> tuple[Tensor, ...]:
        """The latents of these indices, (n, latent_dim), and their conditions if there are any."""
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
