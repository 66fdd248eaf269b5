"""Codes kept where genuine draws are, without a weight to search for.

Genuine draws do not have distance 0 from the prior: 256 normal elements lie at a Wasserstein
distance of about 0.08, and a code pulled to 0 is more regular than chance. So nothing is added to
the loss. Codes descend on the reconstruction loss alone. Each has a genuine draw as its companion,
and after each step it is moved back if it is farther from the companion than another genuine draw
would be. This is projected descent, like the typical ball of (Latent Space 2019), but in the space
of distributions, so it works for any prior with identical elements.

Small deviations that all codes share show only in the pooled elements of all codes, which is what
a goodness-of-fit test sees. The pooled elements are therefore set, by rank, to the values of one
genuine sample of the same size. Single elements stay free because they can exchange ranks; the
more codes descend together, the freer they are. At the end the same matching is applied to the
codes chosen from the restarts, because choosing by loss is not a random choice. That a test of the
pooled elements does not reject a batch is therefore true by construction; how well such codes
reconstruct is an empirical question.

Between two samples of the same size, the Wasserstein-1 distance is the mean difference of their
sorted values, and it falls linearly on the straight path that matches them by rank. So a code that
is too far away is moved along that path by exactly the excess share.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_gans.distances.ranks import argsort_rows, sort_rows
from lightning_gans.priors import Prior
from lightning_gans.ranges import Width, checked


class Companions(NamedTuple):
    """A genuine draw for each code, and how far from it the code may be.

    Attributes:
        values: (n, L), each draw sorted.
        most: (n,), the largest distance: Wasserstein-1 between two further genuine draws.
    """

    values: Tensor
    most: Tensor

    @staticmethod
    def draw(prior: Prior, codes: int, random: torch.Generator) -> Companions:
        """Companions for this many codes."""
        first, second, third = (sort_rows(prior.sample(codes, random)) for _ in range(3))
        return Companions(first, (second - third).abs().mean(1))

    def project(self, z: Tensor) -> Tensor:
        """Move each of the codes (n, L) until it is within its distance; ranks are kept."""
        matched = by_rank(z, self.values)
        far = (z - matched).abs().mean(1)
        share = (1 - self.most / far).clamp(min=0)  # negative where it is already within
        return z + share[:, None] * (matched - z)


class Typicality:
    """Keeps the codes of one batch where genuine draws are.

    Args:
        prior: of identical elements.
        codes: number of codes.
        random: generator of the draws.
    """

    @checked
    def __init__(self, prior: Prior, codes: Width, random: torch.Generator) -> None:
        self.companions = Companions.draw(prior, codes, random)
        self.pooled = sort_rows(prior.sample(codes, random).view(1, -1))

    @torch.no_grad()
    def project(self, z: Tensor) -> Tensor:
        """Move each code of (n, L) to within its distance, then match all to the pooled sample."""
        return self.match(self.companions.project(z))

    def match(self, z: Tensor) -> Tensor:
        """Set the pooled elements of codes (n, L), by rank, to the values of the pooled sample."""
        return by_rank(z.view(1, -1), self.pooled).view_as(z)


def by_rank(z: Tensor, values: Tensor) -> Tensor:
    """Arrange sorted values (n, d) in the order of the elements in each row of z, (n, d)."""
    return torch.empty_like(z).scatter_(1, argsort_rows(z), values)
