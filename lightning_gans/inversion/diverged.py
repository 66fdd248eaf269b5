"""What is said of images that could not be recovered, beside those that were."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_gans.errors import UserError
from lightning_gans.inversion.recovery import Recovery


class AllRestartsDiverged(UserError, FloatingPointError):
    """Of some images no restart had a finite loss.

    Attributes:
        indices: of those images.
        recovery: of the others, or None if there are none.
    """

    def __init__(self, indices: Sequence[int], recovery: Recovery | None) -> None:
        self.indices, self.recovery = list(indices), recovery
        named = ", ".join(map(str, self.indices[:10])) + (", ..." if len(indices) > 10 else "")
        super().__init__(
            f"all restarts of image {named} reached a loss or gradient that is not finite; lower "
            "lr, or look at what the generator makes of draws of the prior"
        )
