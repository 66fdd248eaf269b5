"""What happens when memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lightning_gans.errors import UserError, reason


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """A block in which memory may not suffice, on the CPU or a GPU.

    Args:
        advice: what to do about it.

    Raises:
        UserError: if it does not, with the advice.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise UserError(f"there is not enough memory; {advice}: {reason(error):.200}") from error
    except RuntimeError as error:
        # what torch raises if the CPU's memory does not suffice
        if "allocate memory" not in str(error):
            raise
        raise UserError(f"there is not enough memory; {advice}: {reason(error):.200}") from error
