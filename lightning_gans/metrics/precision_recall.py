"""Improved precision and recall: which images lie on the other sample's manifold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_gans.metrics.states import device_only

# two ways to the same distance differ by about the rounding of the squared lengths
_ROUNDING = 1e-13


class PrecisionRecall(Metric):
    """Precision: share of fakes on the real manifold. Recall: share of reals on the fake one.

    The manifold of a sample is the union of balls about its vectors, each of which reaches its
    vector's k-th neighbour (itself not counted), boundary included.

    Source: Kynkäänniemi et al. 2019, Eq. 1 and 2.

    Args:
        k: which neighbour gives the radius, at least 1.
        block: how many vectors are compared with the whole of a sample at a time; the distances
            take ``block`` times the sample's size in float64.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it
            is collected once in a run.

    Raises:
        ValueError: if k or block is not positive.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    real: list[Tensor] | Tensor
    fake: list[Tensor] | Tensor

    def __init__(self, k: int = 3, block: int = 4096, reset_real: bool = True) -> None:
        super().__init__()
        if k < 1 or block < 1:
            raise ValueError(f"k and block must be at least 1, got k={k}, block={block}")
        self.k = k
        self.block = block
        self.reset_real = reset_real
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("fake", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Add a batch to one of the two samples.

        Args:
            features: (N, F), finite; F is the same in every batch.
            real: whether they are of real images.

        Raises:
            ValueError: if features is not a matrix or a value is not finite.
        """
        if features.ndim != 2:
            raise ValueError(f"expected features (N, F), got {tuple(features.shape)}")
        if not features.isfinite().all():
            raise ValueError("the features hold NaN or infinity; the images may have diverged")
        sample = self.real if real else self.fake
        if not isinstance(sample, list):
            raise RuntimeError("the samples of all processes are joined: call unsync before update")
        sample.append(features.detach())

    def compute(self) -> dict[str, Tensor]:
        """``precision`` and ``recall``, float64 scalars in [0, 1].

        Raises:
            ValueError: if either sample has no more than k vectors, or their widths differ.
        """
        real, fake = _joined(self.real), _joined(self.fake)
        if min(len(real), len(fake)) <= self.k:
            raise ValueError(
                f"precision and recall with k={self.k} need at least {self.k + 1} real and fake"
                f" samples, got {len(real)} real and {len(fake)} fake"
            )
        if real.shape[1] != fake.shape[1]:
            raise ValueError(
                f"real features are {real.shape[1]} wide, fake ones {fake.shape[1]}:"
                " use the same extractor for both"
            )
        # distances come from products: about a common centre they lose the fewest digits
        centre = (real.mean(0) + fake.mean(0)) / 2
        real, fake = real - centre, fake - centre
        return {
            "precision": self._share_within(fake, real),
            "recall": self._share_within(real, fake),
        }

    def _share_within(self, queries: Tensor, sample: Tensor) -> Tensor:
        radii = torch.cat(
            [
                # the smallest distance is the vector's to itself
                _squared_distances(part, sample).kthvalue(self.k + 1, dim=1).values
                for part in torch.split(sample, self.block)
            ]
        )
        lengths = sample.square().sum(1)
        within = []
        for part in torch.split(queries, self.block):
            slack = _ROUNDING * (lengths + part.square().sum(1, keepdim=True))
            within.append((_squared_distances(part, sample) <= radii + slack).any(1))
        return torch.cat(within).double().mean()

    def reset(self) -> None:
        """Forget the fake sample, and the real one unless ``reset_real`` is False."""
        if self._is_synced:  # a failed compute leaves the samples of all processes in place
            self.unsync()
        real = list(self.real)
        super().reset()
        if not self.reset_real:
            self.real = real

    def forward(self, *args: object, **kwargs: object) -> NoReturn:
        """Not defined: one batch of one side has neither precision nor recall.

        Raises:
            TypeError: always; call update and compute.
        """
        raise TypeError("PrecisionRecall has no value for one batch: call update, then compute")

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> nn.Module:
        return super()._apply(device_only(fn), exclude_state)


def _joined(sample: list[Tensor] | Tensor) -> Tensor:
    if len(sample) == 0:
        return torch.empty(0, 0, dtype=torch.float64)
    features = dim_zero_cat(sample)
    if features.device.type == "mps":  # has no float64
        features = features.cpu()
    return features.double()


def _squared_distances(queries: Tensor, sample: Tensor) -> Tensor:
    # |q|² + |s|² - 2 q·s, (Q, S)
    lengths = queries.square().sum(1, keepdim=True) + sample.square().sum(1)
    return lengths.addmm(queries, sample.T, alpha=-2)
