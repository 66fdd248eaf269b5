"""Number types with a range, checked on the command line; plain numbers to a type checker."""

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
