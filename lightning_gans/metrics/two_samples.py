"""What the measures that compare features of real and of fake images have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import NoReturn

from torch import Tensor, nn
from torchmetrics import Metric

from lightning_gans.metrics.states import device_only


class TwoSamples(Metric, ABC):
    """Abstract: a metric with a state for the real sample, which it may keep, and one for the fake.

    Attributes:
        reset_real: whether ``reset`` also forgets the real sample.
    """

    is_differentiable = False
    full_state_update = False

    real: list[Tensor] | Tensor
    fake: list[Tensor] | Tensor
    reset_real: bool

    def reset(self) -> None:
        """Forget the fake sample, and the real one unless ``reset_real`` is False."""
        if self._is_synced:  # a failed compute leaves the samples of all processes in place
            self.unsync()
        real = self.real if isinstance(self.real, Tensor) else list(self.real)
        super().reset()
        if not self.reset_real:
            self.real = real

    def forward(self, *args: object, **kwargs: object) -> NoReturn:
        """Not defined: one batch of one side has no value.

        Raises:
            TypeError: always; call update and compute.
        """
        raise TypeError(
            f"{type(self).__name__} has no value for one batch: call update, then compute"
        )

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        return super()._apply(device_only(fn), exclude_state)


def check_features(features: Tensor, width: int | None = None) -> None:
    """Refuse what is no matrix (N, width), of any width for None, or is not finite.

    Raises:
        ValueError: in one line.
    """
    if features.ndim != 2 or width not in (None, features.shape[1]):
        raise ValueError(f"expected features (N, {width or 'F'}), got {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("the features hold NaN or infinity; the images may have diverged")
