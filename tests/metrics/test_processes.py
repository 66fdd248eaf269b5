"""Measures of several processes are those of one, bit by bit or nearly so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from lightning_gans.metrics import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    SubsetKernelDistance,
)
from lightning_gans.metrics.work_sharing import gather_rows
from tests.support.processes import several

REAL, FAKE, WIDTH = 101, 77, 12

# where one process's samples end and the next one's begin; some have none
CUTS: dict[int, list[tuple[list[int], list[int]]]] = {
    1: [([0, REAL], [0, FAKE])],
    2: [([0, 64, REAL], [0, 10, FAKE]), ([0, 0, REAL], [0, FAKE, FAKE])],
    3: [([0, 50, 51, REAL], [0, 7, 40, FAKE]), ([0, 90, 90, REAL], [0, 0, 0, FAKE])],
}


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(WIDTH, WIDTH, generator=generator)
    real = torch.randn(REAL, WIDTH, generator=generator) @ mix + 1
    return real, torch.randn(FAKE, WIDTH, generator=generator) @ mix * 0.9 + 1.2


def measures() -> dict[str, Metric]:
    return {
        "frechet": FrechetDistance(WIDTH),
        "manifolds": PrecisionRecall(block=16),
        "one block": PrecisionRecall(),
        "kernel": KernelDistance(block=16),
        "subsets": SubsetKernelDistance(7, 30),
    }


def values(real: Tensor, fake: Tensor) -> dict[str, Any]:
    """Of the rows that this process has, in small batches, through Lightning's kind of pass."""
    metrics = measures()
    with torch.inference_mode():
        for metric in metrics.values():
            for side, rows in ((True, real), (False, fake)):
                for part in torch.split(rows, 9):
                    metric.update(part, real=side)
    stored = [len(torch.cat(list(metrics["kernel"].metric_state["real"])))] if len(real) else [0]
    found = {name: metric.compute() for name, metric in metrics.items()}
    stored += [sum(len(part) for part in metrics["kernel"].metric_state["real"])]
    return {**found, "stored": torch.tensor(stored)}


def measured(rank: int, processes: int) -> list[dict[str, Any]]:
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    real, fake = samples()
    found = []
    for reals, fakes in CUTS[processes]:
        mine = real[reals[rank] : reals[rank + 1]], fake[fakes[rank] : fakes[rank + 1]]
        found.append(values(*mine))
    distributed.destroy_process_group()
    return found


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_several_processes_measure_what_one_does(processes: int, tmp_path: Path) -> None:
    expected = values(*samples())
    assert 0 < expected["manifolds"]["recall"] < expected["manifolds"]["precision"] < 1
    for name in ("precision", "recall", "density", "coverage"):
        assert expected["manifolds"][name] == expected["one block"][name]
    found = several(processes, measured, tmp_path / "ranks")
    for rank, of_rank in enumerate(found):
        for case, (reals, _) in zip(of_rank, CUTS[processes], strict=True):
            # all but the pooled moments are the same to the last bit
            for name in ("manifolds", "one block", "kernel", "subsets"):
                torch.testing.assert_close(case[name], expected[name], rtol=0, atol=0)
            torch.testing.assert_close(case["frechet"], expected["frechet"], rtol=1e-10, atol=0)
            # and the samples of the others are not kept
            assert case["stored"].tolist() == [reals[rank + 1] - reals[rank]] * 2
    for first, *others in zip(*found, strict=True):
        for other in others:
            assert other["frechet"] == first["frechet"]


def shares(rank: int, processes: int) -> tuple[int, int]:
    """How many products each process makes of all."""
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    from lightning_gans.metrics.bounded_distances import TileDistances
    from lightning_gans.metrics.tiles import Tile

    real, fake = samples()
    metric = PrecisionRecall(block=16)
    made = 0
    plain = TileDistances.of

    def counted(self: TileDistances, tile: Tile) -> Tensor:
        nonlocal made
        made += 1
        return plain(self, tile)

    TileDistances.of = counted  # type: ignore[method-assign]
    metric.update(real if rank == 0 else real[:0], real=True)
    metric.update(fake if rank == 0 else fake[:0], real=False)
    metric.compute()
    refused = 0
    try:
        gather_rows(torch.zeros(2, 3 + rank))
    except ValueError as error:
        refused = int("different widths [3, 4, 5]" in str(error))
    distributed.destroy_process_group()
    return made, refused


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_processes_share_the_work_evenly_wherever_the_samples_are(tmp_path: Path) -> None:
    found = several(3, shares, tmp_path / "ranks")
    blocks, others = -(-REAL // 16), -(-FAKE // 16)
    tiles = blocks * (blocks + 1) // 2 + others * (others + 1) // 2 + blocks * others
    made = [count for count, _ in found]
    assert sum(made) == tiles
    assert max(made) - min(made) <= 3
    assert all(refused for _, refused in found)
