"""Random streams by purpose, so that no draw disturbs another.

``seed_everything`` gives every process the same global stream, and whatever draws from it moves
everything drawn later: N processes would train on N copies of the same latents, and a picture
taken in between would change the run. Each purpose has a ``torch.Generator`` of its own instead.
"""

from __future__ import annotations

import hashlib
import os

import torch


def global_seed() -> int:
    """The seed of this run: what ``seed_everything`` was given, 0 without."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def stream(
    purpose: str,
    seed: int | None = None,
    rank: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """A generator whose draws depend on (seed, rank, purpose) and on nothing else.

    Args:
        purpose: what is drawn, e.g. ``"training"``; other purposes draw other numbers.
        seed: defaults to :func:`global_seed`.
        rank: of this process; leave it 0 where all processes must draw the same.
        device: where the draws are made.

    Example:
        >>> first, again = (torch.rand(3, generator=stream("latents", seed=1)) for _ in range(2))
        >>> bool((first == again).all())
        True
    """
    key = f"{global_seed() if seed is None else seed}/{rank}/{purpose}"
    # torch folds a seed into 64 bits; a hash keeps neighbouring seeds and ranks apart
    digest = hashlib.sha256(key.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
