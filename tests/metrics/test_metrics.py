from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage import metrics as skimage_metrics
from torch import Tensor, nn
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics import Metric

from lightning_gans.metrics import (
    PSNR,
    SSIM,
    FrechetDistance,
    LatentLoss,
    PrecisionRecall,
    active_dimensions,
    from_uint8,
    latent_entropy,
    to_uint8,
)
from lightning_gans.metrics.bounded_distances import TileDistances
from lightning_gans.metrics.tiles import Tile

# scikit-image has a marker of types on functions without any
skimage_psnr: Callable[..., float] = skimage_metrics.peak_signal_noise_ratio
skimage_ssim: Callable[..., float] = skimage_metrics.structural_similarity


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fill(metric: Metric, real: Tensor, fake: Tensor, batch: int = 1000) -> Metric:
    for part in torch.split(real, batch):
        metric.update(part, real=True)
    for part in torch.split(fake, batch):
        metric.update(part, real=False)
    return metric


def join(metric: Metric, other: Metric) -> None:
    """Let ``metric`` compute as the first of two processes, the second of which has ``other``."""
    states = [
        torch.cat(state) if isinstance(state, list) else state
        for state in other.metric_state.values()
    ]
    turn = iter(states)
    metric.dist_sync_fn = lambda mine, group: [mine, next(turn)]
    metric.distributed_available_fn = lambda: True


# ---------------------------------------------------------------- quantisation


def test_all_levels_survive_the_way_to_floats_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    torch.testing.assert_close(to_uint8(levels / 127.5 - 1), levels, rtol=0, atol=0)
    torch.testing.assert_close(to_uint8(levels.double() / 127.5 - 1), levels, rtol=0, atol=0)
    torch.testing.assert_close(to_uint8((levels / 127.5 - 1).half()), levels, rtol=0, atol=0)
    torch.testing.assert_close(from_uint8(levels), levels / 127.5 - 1, rtol=0, atol=0)


def test_known_levels() -> None:
    x = torch.tensor([-math.inf, -1.01, -1, -0.9961, -0.9960, -1e-3, 0, 0.999, 1, 1.005, 1.2])
    assert to_uint8(x).tolist() == [0, 0, 0, 0, 1, 127, 128, 255, 255, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_quantised_in_single_precision(dtype: torch.dtype) -> None:
    x = torch.linspace(-1, 1, 4001).to(dtype)
    torch.testing.assert_close(to_uint8(x), to_uint8(x.double()), rtol=0, atol=0)


def test_quantisation_refuses_what_is_no_image() -> None:
    with pytest.raises(ValueError, match=r"got torch\.uint8"):
        to_uint8(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(torch.tensor([0.0, math.nan]))
    with pytest.raises(ValueError, match=r"got torch\.float32"):
        from_uint8(torch.zeros(3))


# ---------------------------------------------------------------- Fréchet distance


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("sizes", [(1000, 850), (40, 60)])
def test_torch_fidelity_46_frechet_distance_of_many_and_few_samples_is_theirs(
    mean: float, sizes: tuple[int, int]
) -> None:
    # the second pair of sizes gives covariances of less than full rank
    real = normal(sizes[0], 64) @ normal(64, 64, seed=1) / 8 + mean
    fake = normal(sizes[1], 64, seed=2) * 1.1 + mean + 0.05
    expected = fid_statistics_to_metric(
        fid_features_to_statistics(real), fid_features_to_statistics(fake), verbose=False
    )["frechet_inception_distance"]
    distance = fill(FrechetDistance(64), real, fake, batch=37).compute()
    assert distance.dtype == torch.float64
    assert distance.item() == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_equals_the_matrix_root_of_scipy() -> None:
    real, fake = normal(500, 8), normal(300, 8, seed=1) @ normal(8, 8, seed=2) + 1
    s1, s2 = np.cov(real.numpy(), rowvar=False), np.cov(fake.numpy(), rowvar=False)
    shift = real.numpy().mean(0) - fake.numpy().mean(0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2)))
    assert fill(FrechetDistance(8), real, fake).compute().item() == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(20, 30), (2, 2), (80, 5)])
def test_pytorch_fid_13_fewer_samples_than_features_have_a_distance_too(
    sizes: tuple[int, int],
) -> None:
    real, fake = (1000 * normal(n, 60, seed=seed) for seed, n in enumerate(sizes))
    # with S = AᵀA, the root of S₁S₂ has the sum of the singular values of A₁A₂ᵀ as its trace
    a1, a2 = ((x - x.mean(0)).numpy() / math.sqrt(len(x) - 1) for x in (real, fake))
    root = np.linalg.svd(a1 @ a2.T, compute_uv=False).sum()
    shift = (real.mean(0) - fake.mean(0)).square().sum().item()
    expected = shift + (a1**2).sum() + (a2**2).sum() - 2 * root
    assert fill(FrechetDistance(60), real, fake).compute().item() == pytest.approx(expected, 1e-6)


def test_frechet_distance_of_samples_with_known_moments() -> None:
    # ±a in each coordinate in turn: mean 0, unbiased covariance 2a²/(2F - 1) times the identity
    corners = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    shift = torch.tensor([1.0, -2.0, 3.0])
    distance = fill(FrechetDistance(3), 2 * corners, 5 * corners + shift).compute()
    assert distance.item() == pytest.approx(14 + 3 * (5 - 2) ** 2 * 2 / 5, rel=1e-12)


def test_frechet_distance_to_itself_is_zero_and_never_below() -> None:
    x = normal(30, 50)
    distance = fill(FrechetDistance(50), x, x.flip(0)).compute().item()
    assert 0 <= distance < 1e-5


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_frechet_distance_does_not_depend_on_batches(batch: int) -> None:
    real, fake = normal(90, 12) + 1000, 2 * normal(80, 12, seed=1) + 1000
    whole = fill(FrechetDistance(12), real, fake).compute().item()
    parts = fill(FrechetDistance(12), real, fake, batch).compute().item()
    assert parts == pytest.approx(whole, rel=1e-10)


def test_empty_batches_change_no_distance() -> None:
    real, fake = normal(20, 4), normal(20, 4, seed=1)
    metric = FrechetDistance(4)
    metric.update(real[:0], real=True)
    fill(metric, real, fake).update(real[:0], real=True)
    assert metric.compute() == fill(FrechetDistance(4), real, fake).compute()


@pytest.mark.parametrize("make", [lambda: FrechetDistance(6), lambda: PrecisionRecall(k=2)])
@pytest.mark.parametrize("cut", [25, 60])
def test_two_processes_measure_what_one_does(make: Callable[[], Metric], cut: int) -> None:
    real, fake = normal(70, 6) + 100, normal(61, 6, seed=1) + 100.3
    whole = fill(make(), real, fake).compute()
    first = fill(make(), real[:cut], fake[:cut], batch=9)
    second = fill(make(), real[cut:], fake[cut:], batch=4)

    merged = copy.deepcopy(first)
    merged.merge_state(second)
    torch.testing.assert_close(merged.compute(), whole, rtol=1e-9, atol=0)

    join(first, second)
    torch.testing.assert_close(first.compute(), whole, rtol=1e-9, atol=0)
    alone = fill(make(), real[:cut], fake[:cut], batch=9)
    torch.testing.assert_close(first.metric_state, alone.metric_state)


def test_a_process_without_samples_changes_no_distance() -> None:
    real, fake = normal(20, 4), normal(20, 4, seed=1)
    metric = fill(FrechetDistance(4), real, fake)
    expected = metric.compute()
    metric.merge_state(FrechetDistance(4))
    assert metric.compute() == expected


@pytest.mark.parametrize(
    "move",
    [
        lambda module: module.half(),
        lambda module: module.float(),
        lambda module: module.to(torch.float16),
        lambda module: module.to(torch.bfloat16).to("cpu"),
    ],
)
@pytest.mark.parametrize(
    "make", [lambda: FrechetDistance(5), PrecisionRecall, LatentLoss, PSNR, SSIM]
)
def test_casting_a_model_does_not_cast_its_metrics(
    make: Callable[[], Metric], move: Callable[[nn.Module], nn.Module]
) -> None:
    metric = make()
    if isinstance(metric, FrechetDistance | PrecisionRecall):
        fill(metric, normal(9, 5), normal(8, 5, seed=1))
    before = copy.deepcopy(metric.metric_state)
    move(nn.ModuleList([metric, nn.Linear(1, 1)]))
    torch.testing.assert_close(metric.metric_state, before, rtol=0, atol=0)
    metric.reset()
    torch.testing.assert_close(metric.metric_state, make().metric_state, rtol=0, atol=0)


def test_states_follow_to_another_device() -> None:
    metric = FrechetDistance(3).to("meta")
    assert metric.real.device.type == "meta"
    assert metric.real.dtype == torch.float64


@pytest.mark.parametrize("make", [FrechetDistance, lambda _, **kw: PrecisionRecall(k=1, **kw)])
def test_the_real_side_can_be_kept(make: Callable[..., Metric]) -> None:
    real, fake, later = normal(20, 3), normal(20, 3, seed=1), normal(15, 3, seed=2)
    kept = fill(make(3, reset_real=False), real, fake)
    kept.reset()
    for part in torch.split(later, 6):
        kept.update(part, real=False)
    torch.testing.assert_close(kept.compute(), fill(make(3), real, later).compute())

    forgotten = fill(make(3), real, fake)
    forgotten.reset()
    forgotten.update(later, real=False)
    with pytest.raises(ValueError, match="got 0 real"):
        forgotten.compute()


@pytest.mark.parametrize("make", [FrechetDistance, lambda _, **kw: PrecisionRecall(k=3, **kw)])
def test_a_reset_after_a_failed_compute_keeps_this_process_alone(
    make: Callable[..., Metric],
) -> None:
    mine, other = make(3, reset_real=False), make(3)
    mine.update(normal(20, 3), real=True)
    other.update(normal(20, 3, seed=1), real=True)
    other.update(normal(1, 3, seed=1), real=False)
    mine.update(normal(0, 3), real=False)
    join(mine, other)
    with pytest.raises(ValueError, match="got 40 real and 1 fake"):
        mine.compute()
    mine.distributed_available_fn = lambda: False
    mine.reset()
    mine.update(normal(20, 3, seed=2), real=False)
    expected = fill(make(3), normal(20, 3), normal(20, 3, seed=2)).compute()
    torch.testing.assert_close(mine.compute(), expected)


def test_frechet_distance_refuses_what_it_cannot_measure() -> None:
    metric = FrechetDistance(4)
    metric.update(normal(10, 4), real=True)
    metric.update(normal(1, 4), real=False)
    with pytest.raises(ValueError, match="got 10 real and 1 fake"):
        metric.compute()
    with pytest.raises(ValueError, match=r"expected features \(N, 4\), got \(10, 5\)"):
        metric.update(normal(10, 5), real=True)
    with pytest.raises(ValueError, match="NaN or infinity"):
        metric.update(torch.full((2, 4), math.nan), real=True)
    with pytest.raises(TypeError, match="call update, then compute"):
        metric(normal(10, 4), real=True)
    with pytest.raises(ValueError, match=r"num_features: expected whole number .*, got 0"):
        FrechetDistance(0)


# ---------------------------------------------------------------- precision and recall


@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_equal_torch_fidelity(mean: float, k: int) -> None:
    real, fake = normal(230, 8) + mean, 0.7 * normal(190, 8, seed=1) + mean + 0.4
    expected = prc_features_to_metric(
        fake,
        real,
        prc_neighborhood=k,
        prc_batch_size=10000,
        save_cpu_ram=False,
        verbose=False,
    )
    value = fill(PrecisionRecall(k), real, fake, batch=50).compute()
    assert 0.1 < expected["recall"] < expected["precision"] < 1
    assert value["precision"].item() == pytest.approx(expected["precision"], rel=1e-6)
    assert value["recall"].item() == pytest.approx(expected["recall"], rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_at_ties(k: int) -> None:
    # on a lattice many fakes lie exactly on the border of a ball, and many vectors coincide
    rng = np.random.default_rng(0)
    real, fake = rng.integers(0, 7, (60, 3)), rng.integers(2, 11, (50, 3))

    def share(queries: np.ndarray, sample: np.ndarray) -> float:
        own = ((sample[:, None] - sample[None]) ** 2).sum(-1)
        radii = np.sort(own, axis=1)[:, k]
        return float((((queries[:, None] - sample[None]) ** 2).sum(-1) <= radii).any(1).mean())

    value = fill(
        PrecisionRecall(k), torch.tensor(real) + 100.0, torch.tensor(fake) + 100.0
    ).compute()
    assert value["precision"].item() == share(fake, real)
    assert value["recall"].item() == share(real, fake)


def test_a_far_away_origin_changes_neither_precision_nor_recall() -> None:
    real, fake = normal(80, 8), 0.8 * normal(70, 8, seed=1)
    near = fill(PrecisionRecall(), real, fake).compute()
    far = fill(PrecisionRecall(), real + 1e6, fake + 1e6).compute()
    torch.testing.assert_close(far, near, rtol=0, atol=0)


def test_torch_fidelity_58_precision_is_about_fakes_and_recall_about_reals() -> None:
    real = torch.cat([normal(50, 2), normal(50, 2, seed=1) + 50])  # two modes, one of them found
    value = fill(PrecisionRecall(), real, normal(80, 2, seed=2) * 0.3).compute()
    assert value["precision"] > 0.95
    assert value["recall"] < 0.5


def test_equal_samples_are_wholly_within_each_other() -> None:
    x = normal(40, 16) + 100
    value = fill(PrecisionRecall(k=1), x, x.flip(0)).compute()
    assert value["precision"] == value["recall"] == 1
    assert value["precision"].dtype == torch.float64


def test_distances_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    plain = TileDistances.of

    def spy(self: TileDistances, tile: Tile) -> Tensor:
        rows.append(max(len(tile.left), len(tile.right)))
        return plain(self, tile)

    real, fake = normal(75, 4), normal(66, 4, seed=1) * 0.8
    whole = fill(PrecisionRecall(), real, fake).compute()
    monkeypatch.setattr(TileDistances, "of", spy)
    torch.testing.assert_close(fill(PrecisionRecall(block=7), real, fake).compute(), whole)
    assert max(rows) == 7


def test_precision_and_recall_refuse_what_they_cannot_measure() -> None:
    with pytest.raises(ValueError, match=r"need at least 4 .* got 10 real and 3 fake"):
        fill(PrecisionRecall(k=3), normal(10, 4), normal(3, 4)).compute()
    with pytest.raises(ValueError, match="4 wide, fake ones 5"):
        fill(PrecisionRecall(k=3), normal(10, 4), normal(10, 5)).compute()
    with pytest.raises(ValueError, match=r"expected features \(N, F\), got \(4,\)"):
        PrecisionRecall().update(normal(4), real=True)
    with pytest.raises(ValueError, match="NaN or infinity"):
        PrecisionRecall().update(torch.full((2, 4), math.inf), real=False)
    with pytest.raises(ValueError, match="k: expected whole number ≥ 1, got 0"):
        PrecisionRecall(k=0)
    with pytest.raises(TypeError, match="call update, then compute"):
        PrecisionRecall()(normal(10, 4), real=True)


# ---------------------------------------------------------------- reconstruction


def pairs(count: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    x = normal(count, channels, height, width).cumsum(2) / 3
    noise = normal(count, channels, height, width, seed=1)
    amount = torch.linspace(0.05, 0.8, count, dtype=x.dtype).reshape(-1, 1, 1, 1)
    return x.sin(), x.sin() + amount * noise  # reconstructions reach beyond the range


@pytest.mark.parametrize("shape", [(5, 1, 32, 32), (3, 3, 17, 25), (2, 1, 11, 12)])
def test_reconstruction_equals_scikit_image(shape: tuple[int, int, int, int]) -> None:
    x, y = pairs(*shape)
    assert y.abs().max() > 1
    clamped = y.clamp(-1, 1).numpy()
    psnr = [skimage_psnr(a, b, data_range=2.0) for a, b in zip(x.numpy(), clamped, strict=True)]
    ssim = [
        skimage_ssim(
            a,
            b,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=2.0,
            channel_axis=0,
        )
        for a, b in zip(x.numpy(), clamped, strict=True)
    ]
    for metric, expected in ((PSNR(), psnr), (SSIM(), ssim)):
        for a, b in zip(torch.split(x, 2), torch.split(y, 2), strict=True):
            metric.update(a, b)
        assert metric.compute().item() == pytest.approx(np.mean(expected), rel=1e-7)
        metric.reset()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            metric.update(x.float(), y.float())
        assert metric.compute().item() == pytest.approx(np.mean(expected), rel=1e-4)


def test_a_perfect_reconstruction_leaves_the_mean_finite() -> None:
    x = torch.zeros(2, 1, 11, 11)
    metric = PSNR()
    metric.update(x, x + torch.tensor([0.0, 0.2]).reshape(2, 1, 1, 1))
    # 10 log10(4 / 1e-10) and 10 log10(4 / 0.04)
    assert metric.compute().item() == pytest.approx((106.0206 + 20) / 2, abs=1e-4)
    same = SSIM()
    same.update(x, x)
    assert same.compute() == 1


@pytest.mark.parametrize("make", [PSNR, SSIM])
def test_images_of_both_processes_count(make: Callable[[], Metric]) -> None:
    x, y = pairs(5, 1, 16, 16)
    whole, first, second = make(), make(), make()
    whole.update(x, y)
    first.update(x[:1], y[:1])
    second.update(x[1:], y[1:])
    join(first, second)
    torch.testing.assert_close(first.compute(), whole.compute())


def test_reconstruction_refuses_what_it_cannot_measure() -> None:
    x = torch.zeros(2, 1, 10, 16)
    with pytest.raises(ValueError, match=r"at least 11x11 pixels, got 10x16"):
        SSIM().update(x, x)
    for metric in (PSNR(), SSIM()):
        with pytest.raises(ValueError, match="one shape"):
            metric.update(torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 15))
        with pytest.raises(ValueError, match="one shape"):
            metric.update(x[0], x[0])
        with pytest.raises(ValueError, match=r"got torch\.uint8"):
            metric.update(torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).byte())
        with pytest.raises(ValueError, match="has no values"):
            metric.compute()


# ---------------------------------------------------------------- latent


def test_latent_loss_is_the_mean_of_scaled_squares() -> None:
    s = torch.tensor([2.0, 0.5])
    metric = LatentLoss()
    metric.update(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 2), s)
    metric.update(torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, 0.0]]), s)
    assert metric.compute().item() == (4 + 1 + 4) / 6
    with pytest.raises(ValueError, match=r"got \(2, 3\), \(2, 3\) and \(2,\)"):
        metric.update(torch.zeros(2, 3), torch.zeros(2, 3), s)
    with pytest.raises(ValueError, match=r"got \(2, 2\), \(1, 2\) and \(2,\)"):
        metric.update(torch.zeros(2, 2), torch.zeros(1, 2), s)


def test_latent_entropy_of_known_distributions() -> None:
    normal_entropy = 0.5 * math.log(2 * math.pi * math.e)
    assert latent_entropy(normal_entropy, torch.ones(1024)).item() == pytest.approx(1452.99, 1e-5)
    # U(-1, 1) scaled by s is uniform on an interval of length 2 s
    s = torch.tensor([0.5, 3.0, 7.0], dtype=torch.float64)
    assert latent_entropy(math.log(2), s).item() == pytest.approx(math.log(1 * 6 * 14))
    per_element = torch.tensor([0.0, 1.0, 2.0])
    assert latent_entropy(per_element, torch.ones(3)).item() == 3
    for scale in (torch.tensor([1.0, 0.0]), torch.ones(2, 2), torch.tensor([1.0, math.nan])):
        with pytest.raises(ValueError, match="positive scale"):
            latent_entropy(1.0, scale)


def test_active_dimensions_do_not_depend_on_the_scale_of_the_variances() -> None:
    v = torch.cat([torch.linspace(0.75, 0.93, 73), torch.full((951,), 0.028)])
    for factor in (1.0, 1e-3, 50.0):
        count = active_dimensions(v * factor)
        assert count.item() == 73
        assert count.dtype == torch.int64
    assert active_dimensions(torch.tensor([1.0, 0.125, 0.0625])).item() == 2
    assert active_dimensions(torch.zeros(5)).item() == 0
    for wrong in (torch.tensor([1.0, -0.1]), torch.zeros(0), torch.ones(2, 2)):
        with pytest.raises(ValueError, match="none negative"):
            active_dimensions(wrong)
