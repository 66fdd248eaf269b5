"""A random stream for each purpose, so that draws do not affect each other.

``seed_everything`` gives every process the same global stream, and each draw from it changes all
later ones: N processes would train on N copies of the same latents, and drawing sample images
would change the run. So each purpose has its own ``torch.Generator``.
"""

from __future__ import annotations

import hashlib
import os

import torch

from lightning_gans.errors import UserError
from lightning_gans.ranges import Seed, describe, fits
from lightning_gans.safe_yaml import parse_value


def global_seed() -> int:
    """The seed of this run, as given to ``seed_everything``; 0 by default.

    Raises:
        UserError: if the environment holds another value, which Lightning would ignore.
    """
    seed = os.environ.get("PL_GLOBAL_SEED", "0")
    if not fits(parse_value(seed), Seed):
        raise UserError(f"PL_GLOBAL_SEED={seed}: expected {describe(Seed)}, or no such variable")
    return int(seed)


def stream(
    purpose: str,
    seed: int | None = None,
    rank: int = 0,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """A generator whose draws depend only on (seed, rank, purpose).

    Args:
        purpose: what is drawn, e.g. ``"training"``.
        seed: defaults to :func:`global_seed`.
        rank: of this process; 0 if all processes must draw the same.
        device: of the draws.

    Example:
        >>> first, again = (torch.rand(3, generator=stream("latents", seed=1)) for _ in range(2))
        >>> bool((first == again).all())
        True
    """
    key = f"{global_seed() if seed is None else seed}/{rank}/{purpose}"
    # torch folds a seed into 64 bits; a hash keeps neighbouring seeds and ranks apart
    digest = hashlib.sha256(key.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))
