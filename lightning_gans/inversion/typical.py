"""Codes kept where genuine draws are, with no weight to search for.

A distance to the prior of zero is not where draws are: 256 normal elements lie at a Wasserstein
distance of 0.08, give or take, and a code pulled to zero is more regular than chance. So nothing
is added to the loss. Codes descend on the reconstruction alone, each beside a genuine draw of its
own, and are moved back whenever they are farther from it than another genuine draw would be. That
is projected descent, as on the typical ball of the latent space size paper, but in the space of
distributions, so that it holds for any prior of identical elements.

Small deviations that all codes share show only in the elements of all codes together, which is
what a goodness-of-fit test of many codes sees. So these are kept, by rank, at the values of one
genuine sample of as many elements. That leaves single elements free, for they may trade places,
the more the more codes descend at once. In the end the same is done among the codes that were
chosen from the restarts, for a choice by loss is no random one. So that a test of all elements
does not reject the codes of a batch is true by construction; what is found by experiment is how
well they reconstruct.

Between two samples of one size, the Wasserstein-1 distance is the mean difference of their sorted
values, and on the straight way that matches them by rank it falls in proportion. So a code that is
too far is moved by just the share of the way that is too much.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.priors import Prior


class Companions(NamedTuple):
    """A genuine draw beside each code, and how far from it the code may be.

    Attributes:
        values: (n, L), each draw sorted.
        most: (n,), the Wasserstein-1 distance between two further genuine draws.
    """

    values: Tensor
    most: Tensor

    @staticmethod
    def draw(prior: Prior, codes: int, random: torch.Generator) -> Companions:
        """For so many codes."""
        first, second, third = (prior.sample(codes, random).sort(1).values for _ in range(3))
        return Companions(first, (second - third).abs().mean(1))

    def hold(self, z: Tensor) -> Tensor:
        """Codes (n, L), each moved until it is within its distance; the order is kept."""
        matched = by_rank(z, self.values)
        far = (z - matched).abs().mean(1)
        share = (1 - self.most / far).clamp(min=0)  # below 0 where it is within
        return z + share[:, None] * (matched - z)


class Typicality:
    """Holds the codes of one batch where genuine draws are.

    Args:
        prior: of identical elements.
        codes: how many.
        random: draws the companions.
    """

    def __init__(self, prior: Prior, codes: int, random: torch.Generator) -> None:
        self.each = Companions.draw(prior, codes, random)
        self.all = prior.sample(codes, random).view(1, -1).sort(1).values

    @torch.no_grad()
    def project(self, z: Tensor) -> Tensor:
        """Codes (n, L), each moved until it is within its distance, then all to the one sample."""
        return self.match(self.each.hold(z))

    def match(self, z: Tensor) -> Tensor:
        """Codes (n, L), their elements together moved by rank to those of the one sample."""
        return by_rank(z.view(1, -1), self.all).view_as(z)


def by_rank(z: Tensor, values: Tensor) -> Tensor:
    """Sorted values (n, d) in the order that the rows of z, (n, d), have."""
    return torch.empty_like(z).scatter_(1, z.argsort(1), values)
