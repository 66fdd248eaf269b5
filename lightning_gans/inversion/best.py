"""The best code on the way of a descent, and whether it still gets better."""

from __future__ import annotations

import torch
from torch import Tensor

# a loss that falls by less than this share of it has not fallen
PLATEAU = 1e-4


class Best:
    """Of each code in a batch, the best on its way so far.

    Args:
        z: first codes (n, L).

    Attributes:
        codes: (n, L).
        total: (n,), the loss of ``codes``; infinite for codes that are dropped.
        reconstruction: (n,), their reconstruction loss.
        dropped: (n,), whose loss or gradient was not finite at some step.
    """

    def __init__(self, z: Tensor) -> None:
        self.codes = z.detach().clone()
        self.total = z.new_full((len(z),), torch.inf, requires_grad=False)
        self.reconstruction = self.total.clone()
        self.dropped = torch.zeros_like(self.total, dtype=torch.bool)
        self._trace: list[Tensor] = []
        self._reference = self.total.clone()
        self._idle = 0

    @torch.no_grad()
    def look_at(self, z: Tensor, total: Tensor, reconstruction: Tensor, eligible: bool) -> None:
        """Take codes (n, L) of losses (n,) where they are better than what was, if eligible."""
        self.drop(~total.isfinite())
        better = (total < self.total) & ~self.dropped & eligible
        torch.where(better[:, None], z, self.codes, out=self.codes)
        self.total = torch.where(better, total, self.total)
        self.reconstruction = torch.where(better, reconstruction, self.reconstruction)
        self._trace.append(total.detach().clone())
        # measured from the last time that it counted as a gain, lest slow progress be none
        gained = better & ~(total > self._reference * (1 - PLATEAU))
        self._reference = torch.where(gained, total, self._reference)
        self._idle = 0 if gained.any() else self._idle + 1

    def drop(self, rows: Tensor) -> None:
        """Take rows (n,) out of the race for good."""
        self.dropped = self.dropped | rows
        self.total = self.total.masked_fill(self.dropped, torch.inf)

    def stale(self, patience: int | None) -> bool:
        """Whether nothing got better in the last ``patience`` looks."""
        return patience is not None and self._idle >= patience

    def trace(self, length: int) -> Tensor:
        """Total losses at each look, (n, length), filled up with NaN."""
        found = torch.stack(self._trace, 1)
        return torch.nn.functional.pad(found, (0, length - found.shape[1]), value=torch.nan)
