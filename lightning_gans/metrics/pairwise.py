"""The base of metrics that compare every pair of vectors of two samples."""

from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor

from lightning_gans.metrics.tiles import Sample
from lightning_gans.metrics.two_sample import TwoSampleMetric, check_features
from lightning_gans.metrics.work_sharing import Team, gather_rows
from lightning_gans.ranges import PositiveInt, checked


class PairwiseMetric(TwoSampleMetric, ABC):
    """Stores the features of both samples; a subclass compares ``samples()`` in ``compute``.

    The features are not copied, so several metrics that are given the same batches share their
    memory. Every process keeps its own features; ``compute`` joins them while it runs.

    Args:
        block: how many vectors of one sample are compared with as many of another at a time; this
            takes about ``4 * block * (block + F)`` float64 numbers.
        reset_real: whether ``reset`` also forgets the real sample; False keeps it, so that it is
            collected once in a run.

    Raises:
        ValueError: if block is not positive.
    """

    statistic = "features"

    @checked
    def __init__(self, block: PositiveInt = 2048, reset_real: bool = True) -> None:
        # torchmetrics' own sync would store every sample three times while it joins them
        super().__init__(sync_on_compute=False, dist_sync_fn=gather_rows)
        self.block = block
        self.reset_real = reset_real
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("fake", [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Add a batch to one of the two samples.

        Args:
            features: (N, F), finite; F is the same in every batch. Must not be modified afterwards.
            real: whether they are of real images.

        Raises:
            ValueError: if they are not such a matrix, or a value is not finite.
        """
        check_features(features)
        sample = self.real if real else self.fake
        if not isinstance(sample, list):
            raise RuntimeError("the samples of all processes are joined: call unsync before update")
        if sample and sample[0].shape[1] != features.shape[1]:
            raise ValueError(
                f"expected features (N, {sample[0].shape[1]}) as in the batches before,"
                f" got {tuple(features.shape)}"
            )
        if len(features):
            features = features.detach()
            sample.append(features.float() if features.itemsize < 4 else features)

    def samples(self) -> tuple[Sample, Sample, Team]:
        """The real and the fake sample of all processes, and the team that shares the work.

        Raises:
            ValueError: if the widths differ.
        """
        joins = not self._is_synced and self._several()
        parts = [self._joined(side) if joins else _parts(side) for side in (self.real, self.fake)]
        real, fake = (Sample(side, self.block) for side in parts)
        if real.width != fake.width and min(len(real), len(fake)):
            raise ValueError(
                f"real features are {real.width} wide, fake ones {fake.width}:"
                " use the same extractor for both"
            )
        return real, fake, Team.of_all() if joins else Team()

    def real_statistic(self) -> Tensor:
        parts = self._joined(self.real) if self._several() else _parts(self.real)
        return torch.cat(parts) if parts else torch.empty(0, 0, device=self.device)

    def load_real(self, statistic: Tensor) -> None:
        self.real = [statistic.to(self.device)]
        self._computed = None

    def _several(self) -> bool:
        return bool(self.distributed_available_fn())

    def _joined(self, side: list[Tensor] | Tensor) -> list[Tensor]:
        own = _parts(side)
        whole = own[0] if len(own) == 1 else torch.cat(own) if own else None
        assert self.dist_sync_fn is not None
        found: list[Tensor] = self.dist_sync_fn(
            torch.empty(0, 0, device=self.device) if whole is None else whole, self.process_group
        )
        return [part for part in found if len(part)]


def _parts(side: list[Tensor] | Tensor) -> list[Tensor]:
    return side if isinstance(side, list) else [side]
