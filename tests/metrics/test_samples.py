"""Measures that compare all pairs: kernel distance, precision, recall, density, coverage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics import Metric

from lightning_gans.metrics import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    SubsetKernelDistance,
)
from lightning_gans.metrics.tiles import Sample, count_within, tiles_between, tiles_within
from lightning_gans.metrics.work_sharing import Team


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fill(metric: Metric, real: Tensor, fake: Tensor, batch: int = 1000) -> Metric:
    for part in torch.split(real, batch):
        metric.update(part, real=True)
    for part in torch.split(fake, batch):
        metric.update(part, real=False)
    return metric


def two_samples() -> tuple[Tensor, Tensor]:
    real = normal(210, 24) @ normal(24, 24, seed=1) / 5 + 1
    return real, normal(170, 24, seed=2) @ normal(24, 24, seed=1) / 5.5 + 1.5


# ---------------------------------------------------------------- compared with torch-fidelity


def test_one_pass_measures_what_torch_fidelity_does() -> None:
    real, fake = (sample.float() for sample in two_samples())
    metrics = [FrechetDistance(24), PrecisionRecall(), SubsetKernelDistance(8, 50)]
    for batch in (real[:100], real[100:]):
        for metric in metrics:
            metric.update(batch, real=True)
    for metric in metrics:
        metric.update(fake, real=False)
    statistics = [fid_features_to_statistics(sample.double()) for sample in (fake, real)]
    distance = fid_statistics_to_metric(*statistics, verbose=False)
    sides = prc_features_to_metric(fake, real, save_cpu_ram=True, verbose=False)
    kid = kid_features_to_metric(
        fake.double(), real.double(), kid_subsets=8, kid_subset_size=50, verbose=False
    )
    assert metrics[0].compute().item() == pytest.approx(
        distance["frechet_inception_distance"], rel=1e-8
    )
    ours = metrics[1].compute()
    assert 0.05 < sides["recall"] < sides["precision"] < 0.95
    for side in ("precision", "recall"):
        assert ours[side].item() == pytest.approx(sides[side], abs=1e-6)
    mean, deviation = metrics[2].compute()
    assert mean.item() == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-10)
    assert deviation.item() == pytest.approx(kid["kernel_inception_distance_std"], rel=1e-10)


@pytest.mark.parametrize("seed", [2020, 3])
def test_the_subsets_are_those_of_torch_fidelity(seed: int) -> None:
    real, fake = two_samples()
    expected = kid_features_to_metric(
        fake, real, kid_subsets=5, kid_subset_size=170, rng_seed=seed, verbose=False
    )
    value = fill(SubsetKernelDistance(5, 170, seed), real, fake, batch=41).compute()
    assert value.mean.item() == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-10)
    assert value.deviation.item() == pytest.approx(
        expected["kernel_inception_distance_std"], rel=1e-10
    )


# ---------------------------------------------------------------- kernel distance


def test_kernel_distance_is_the_sum_over_pairs() -> None:
    real, fake = normal(7, 3), normal(5, 3, seed=1) + 0.5

    def k(x: Tensor, y: Tensor) -> float:
        return (float(x @ y) / 3 + 1) ** 3

    expected = np.mean([k(x, y) for x, y in itertools.permutations(real, 2)])
    expected += np.mean([k(x, y) for x, y in itertools.permutations(fake, 2)])
    expected -= 2 * np.mean([k(x, y) for x, y in itertools.product(real, fake)])
    value = fill(KernelDistance(block=3), real, fake).compute()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(float(expected), rel=1e-12)


def test_kernel_distance_of_all_samples_is_the_one_subset_that_has_them() -> None:
    real, fake = two_samples()
    value = fill(KernelDistance(), real[:170], fake).compute().item()
    subset = fill(SubsetKernelDistance(1, 170), real[:170], fake).compute()
    assert value == pytest.approx(subset.mean.item(), rel=1e-10)
    assert subset.deviation == 0


def test_kernel_distance_has_no_bias() -> None:
    # of one distribution the mean over many small samples is zero, within its error
    values = torch.stack(
        [
            fill(KernelDistance(), normal(12, 4, seed=i), normal(9, 4, seed=1000 + i)).compute()
            for i in range(300)
        ]
    )
    assert values.mean().abs() < 3 * values.std() / math.sqrt(300)
    assert values.min() < -0.5 * values.std()


@pytest.mark.parametrize("make", [KernelDistance, PrecisionRecall])
@pytest.mark.parametrize("block", [7, 64, 170, 211])
def test_blocks_of_any_size_give_the_same(make: Callable[..., Metric], block: int) -> None:
    real, fake = two_samples()
    value = fill(make(block=block), real, fake, batch=33).compute()
    torch.testing.assert_close(value, fill(make(), real, fake).compute(), rtol=1e-10, atol=0)


def test_kernel_distances_refuse_what_they_cannot_measure() -> None:
    with pytest.raises(ValueError, match="got 1 real and 4 fake"):
        fill(KernelDistance(), normal(1, 3), normal(4, 3)).compute()
    with pytest.raises(ValueError, match="got 9 real and 11 fake; choose a smaller size"):
        fill(SubsetKernelDistance(size=10), normal(9, 3), normal(11, 3)).compute()
    with pytest.raises(ValueError, match="3 wide, fake ones 4"):
        fill(KernelDistance(), normal(9, 3), normal(9, 4)).compute()
    for subsets, size in ((0, 10), (1, 1)):
        with pytest.raises(ValueError, match=r"(subsets|size): expected whole number"):
            SubsetKernelDistance(subsets, size)
    with pytest.raises(ValueError, match="block: expected whole number ≥ 1, got 0"):
        KernelDistance(block=0)
    with pytest.raises(TypeError, match="KernelDistance has no value for one batch"):
        KernelDistance()(normal(4, 3), real=True)


# ---------------------------------------------------------------- density and coverage


def plainly(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """Density and coverage in two loops."""
    within = np.zeros((len(real), len(fake)), dtype=bool)
    for i, x in enumerate(real):
        others = [((x - other) ** 2).sum() for j, other in enumerate(real) if j != i]
        for j, y in enumerate(fake):
            within[i, j] = ((x - y) ** 2).sum() <= sorted(others)[k - 1]
    return within.sum() / (k * len(fake)), within.any(1).mean()


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_are_what_two_loops_count(k: int) -> None:
    real, fake = (sample[::3] for sample in two_samples())
    density, coverage = plainly(real.numpy(), fake.numpy(), k)
    value = fill(PrecisionRecall(density_k=k, block=13), real, fake).compute()
    assert 0 < coverage < 1
    assert value["density"].item() == pytest.approx(density, rel=1e-12)
    assert value["coverage"].item() == pytest.approx(coverage, rel=1e-12)


def test_density_and_coverage_at_ties() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 7, (60, 3)), rng.integers(2, 9, (50, 3))
    density, coverage = plainly(real, fake, 3)
    value = fill(PrecisionRecall(density_k=3), torch.tensor(real) + 9.0, torch.tensor(fake) + 9.0)
    assert value.compute()["density"].item() == pytest.approx(density, rel=1e-12)
    assert value.compute()["coverage"].item() == coverage


def test_density_counts_balls_where_precision_does_not() -> None:
    # every fake lies among all ten reals, whose balls reach it, but an eleventh stands alone
    real = torch.cat([normal(10, 2) * 0.01, torch.full((1, 2), 5.0, dtype=torch.float64)])
    value = fill(PrecisionRecall(k=2, density_k=9), real, torch.zeros(4, 2)).compute()
    assert value["precision"] == 1
    assert value["density"].item() == pytest.approx(11 / 9)
    assert value["coverage"] == 1


def test_two_k_are_two_radii() -> None:
    real, fake = two_samples()
    both = fill(PrecisionRecall(k=2, density_k=7), real, fake).compute()
    swapped = fill(PrecisionRecall(k=7, density_k=2), real, fake).compute()
    for one, k in ((both, 2), (swapped, 7)):
        alike = fill(PrecisionRecall(k=k, density_k=k), real, fake).compute()
        assert one["precision"] == alike["precision"]
        assert one["recall"] == alike["recall"]
        assert one["density"] != alike["density"]


def test_a_sample_smaller_than_its_neighbourhood_is_named() -> None:
    few = fill(PrecisionRecall(k=3, density_k=5), normal(5, 2), normal(8, 2)).compute()
    more = fill(PrecisionRecall(k=3, density_k=4), normal(5, 2), normal(8, 2)).compute()
    assert few == {name: more[name] for name in ("precision", "recall")}
    with pytest.raises(ValueError, match="at least 4 real and fake samples, got 3 real"):
        fill(PrecisionRecall(k=3), normal(3, 2), normal(8, 2)).compute()
    with pytest.raises(ValueError, match="density_k: expected whole number ≥ 1, got 0"):
        PrecisionRecall(density_k=0)


# ---------------------------------------------------------------- what float32 cannot decide


def exactly(real: Tensor, fake: Tensor, k: int, density_k: int) -> dict[str, float]:
    """The four measures from all distances, by scipy in float64."""
    x, y = real.double().numpy(), fake.double().numpy()
    within = [np.sort(cdist(sample, sample, "sqeuclidean"), 1) for sample in (x, y)]
    between = cdist(x, y, "sqeuclidean")
    # equal distances that are computed twice can differ in their last digits
    between *= 1 - 1e-12
    dense = between <= within[0][:, density_k, None]
    return {
        "precision": (between <= within[0][:, k, None]).any(0).mean(),
        "recall": (between <= within[1][:, k]).any(1).mean(),
        "density": dense.sum() / (density_k * len(y)),
        "coverage": dense.any(1).mean(),
    }


def hard_samples() -> dict[str, tuple[Tensor, Tensor]]:
    """Samples whose distances float32 rounds to others, or cannot hold."""
    real, fake = two_samples()
    grid = torch.randint(0, 3, (400, 6), generator=torch.Generator().manual_seed(5)).double()
    return {
        "far from zero": (real + 3000, fake + 3000),
        "fakes collapsed to a point": (real, real[:1] + normal(170, 24, seed=3) * 1e-6),
        "fakes collapsed to the mean": (real, real.mean(0) + normal(170, 24, seed=3) * 1e-6),
        "two groups far apart": (
            torch.cat([real, real[:40] + 1e5]),
            torch.cat([fake, fake[:40] + 1e5]),
        ),
        "one vector far away": (torch.cat([real, real[:1] * 1e6]), fake),
        "many copies": (grid[:210], grid[210:]),
        "pairs of copies": (real.repeat(2, 1), real[:170]),
        "beyond float32": (real * 2.0**140, fake * 2.0**140),
        "squares beyond float32": ((real * 2.0**70).float(), (fake * 2.0**70).float()),
        "squares below float32": ((real * 2.0**-90).float(), (fake * 2.0**-90).float()),
        "wider than a piece of a product": (normal(90, 1200), normal(80, 1200, seed=1) * 1.01),
    }


@pytest.mark.parametrize("kind", hard_samples())
@pytest.mark.parametrize("block", [64, 2048])
def test_samples_that_float32_cannot_tell_apart_are_measured_exactly(kind: str, block: int) -> None:
    real, fake = hard_samples()[kind]
    value = fill(PrecisionRecall(block=block), real, fake, batch=50).compute()
    expected = exactly(real, fake, 3, 5)
    assert {name: found.item() for name, found in value.items()} == pytest.approx(
        expected, rel=1e-9
    )


def test_products_that_torch_rounds_to_bfloat16_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # as torch.set_float32_matmul_precision("medium") does where the hardware can
    real, fake = (sample.float() for sample in two_samples())
    expected = fill(PrecisionRecall(), real, fake).compute()
    plain, rounded = Tensor.addmm_, 0

    def addmm(self: Tensor, left: Tensor, right: Tensor, **factors: float) -> Tensor:
        nonlocal rounded
        if self.dtype == torch.float32:
            left, right = (x.bfloat16().float() for x in (left, right))
            rounded += 1
        return plain(self, left, right, **factors)

    monkeypatch.setattr(Tensor, "addmm_", addmm)
    assert fill(PrecisionRecall(), real, fake).compute() == expected
    assert rounded


def test_two_neighbours_in_the_order_of_float32_need_not_be_in_that_order() -> None:
    # the distances to the third and fourth neighbour differ by less than float32 can show
    real = torch.zeros(6, 2, dtype=torch.float64)
    real[:, 0] = torch.tensor([0.0, 1.0, 2.0, 3 + 1e-9, 3.0, 50.0])
    radius = 3.0
    inside = torch.tensor([[-radius + 1e-10, 0.0]], dtype=torch.float64).repeat(4, 1)
    outside = torch.tensor([[-radius - 5e-10, 0.0]], dtype=torch.float64).repeat(4, 1)
    found = [
        fill(PrecisionRecall(k=3), real[:5] + 7, fake + 7).compute()["precision"].item()
        for fake in (inside, outside)
    ]
    assert found == [1, 0]


# ---------------------------------------------------------------- memory


def test_features_are_kept_once_by_all_measures() -> None:
    metrics = [PrecisionRecall(), KernelDistance(), SubsetKernelDistance(2, 10)]
    real, fake = (sample.float() for sample in two_samples())
    for metric in metrics:
        fill(metric, real, fake)
        metric.compute()
        assert [part.data_ptr() for part in metric.real] == [real.data_ptr()]
        assert [part.dtype for part in metric.fake] == [torch.float32]


def test_half_precision_features_are_widened() -> None:
    real, fake = (sample.bfloat16() for sample in two_samples())
    value = fill(PrecisionRecall(), real, fake).compute()
    expected = fill(PrecisionRecall(), real.double(), fake.double()).compute()
    torch.testing.assert_close(value, expected)


def test_widths_must_agree_from_batch_to_batch() -> None:
    metric = fill(KernelDistance(), normal(3, 4), normal(3, 4))
    with pytest.raises(ValueError, match=r"expected features \(N, 4\) .* got \(3, 5\)"):
        metric.update(normal(3, 5), real=True)


@pytest.mark.parametrize("block", [1, 4, 10, 50])
@pytest.mark.parametrize("size", [1, 3])
def test_the_team_has_every_pair_once(block: int, size: int) -> None:
    first = Sample([normal(3, 2), normal(0, 5), normal(7, 2, seed=1)], block)
    second = Sample([normal(12, 2, seed=2)], block)
    seen, within = torch.zeros(10, 12), torch.zeros(10, 10)
    numbers = []
    for rank in range(size):
        for tile in tiles_between(first, second, Team(rank, size)):
            torch.testing.assert_close(tile.left, torch.cat(first.parts)[tile.rows])
            torch.testing.assert_close(tile.right, second.parts[0][tile.columns])
            assert max(len(tile.left), len(tile.right)) <= block
            seen[tile.rows, tile.columns] += 1
        for tile in tiles_within(first, Team(rank, size)):
            numbers.append(tile.number)
            within[tile.rows, tile.columns] += 1
            if tile.rows != tile.columns:
                within[tile.columns, tile.rows] += 1
    assert (seen == 1).all()
    assert (within == 1).all()
    assert sorted(numbers) == list(range(count_within(first)))
    torch.testing.assert_close(first.mean(), torch.cat(first.parts).mean(0))
