"""The base of metrics that compare features of real images with those of fakes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NoReturn

from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.metrics.float64_states import Float64Metric
from lightning_gans.validation import check_tensor


class TooFewSamples(InputError):
    """A metric needs more samples than it was given."""


class TwoSampleMetric(Float64Metric, ABC):
    """A metric with one state for the real sample and one for the fake sample.

    Attributes:
        statistic: what it stores of a sample: "features", (N, F), or "moments", (F + 1, F + 1).
        reset_real: whether ``reset`` also forgets the real sample.
    """

    statistic: ClassVar[Literal["features", "moments"]]

    is_differentiable = False
    full_state_update = False

    real: list[Tensor] | Tensor
    fake: list[Tensor] | Tensor
    reset_real: bool

    @abstractmethod
    def real_statistic(self) -> Tensor:
        """The statistic of all processes' real samples; all must call this at the same point."""

    @abstractmethod
    def load_real(self, statistic: Tensor) -> None:
        """Use a statistic as that of the whole real sample; to be given to one process only."""

    def reset(self) -> None:
        """Forget the fake sample, and the real one unless ``reset_real`` is False."""
        if self._is_synced:  # a failed compute leaves the samples of all processes joined
            self.unsync()
        real = self.real if isinstance(self.real, Tensor) else list(self.real)
        super().reset()
        if not self.reset_real:
            self.real = real

    def forward(self, *args: object, **kwargs: object) -> NoReturn:
        """Not supported: one batch of one sample has no value.

        Raises:
            TypeError: always; call update and compute.
        """
        raise TypeError(
            f"{type(self).__name__} has no value for one batch: call update, then compute"
        )


def check_features(features: Tensor, width: int | None = None) -> None:
    """Refuse features that are not a matrix (N, width) or not finite.

    Args:
        features: to be checked.
        width: that is required; None takes any.

    Raises:
        ValueError: if so.
    """
    check_tensor(features, "features")
    if features.ndim != 2 or width not in (None, features.shape[1]):
        raise ValueError(f"expected features (N, {width or 'F'}), got {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("the features contain NaN or infinity; the generator may have diverged")
