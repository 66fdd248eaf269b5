"""Types of numbers in a range, which a command line checks and a type checker takes for numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    NonNegativeInt = int
    OpenUnitInterval = float
    ClosedUnitInterval = float
    PositiveInt = int
else:
    from jsonargparse.typing import (
        ClosedUnitInterval,
        NonNegativeInt,
        OpenUnitInterval,
        PositiveInt,
    )

__all__ = ["ClosedUnitInterval", "NonNegativeInt", "OpenUnitInterval", "PositiveInt"]
