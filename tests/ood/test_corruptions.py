"""Corruptions: what each does to images whose answer is known, and what all of them keep."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor
from torch.nn import functional

from lightning_gans.data import MNIST5k
from lightning_gans.data.tensors import TensorImages
from lightning_gans.errors import InputError
from lightning_gans.ood.corruptions import NAMES, corrupt, mix

DRAWN = [name for name in NAMES if name not in {"stripe", "canny_edges"}]


@cache
def digits(n: int = 24) -> Tensor:
    """Real digits 28×28, of all classes."""
    data = MNIST5k()
    data.setup()
    digits = data.validation_set
    assert isinstance(digits, TensorImages)
    x, _ = digits.__getitems__(range(0, len(digits), len(digits) // n))
    return x[:n, :, 2:-2, 2:-2]


def values(x: Tensor) -> set[float]:
    return set(x.flatten().tolist())


def flat(value: float, n: int, *shape: int) -> Tensor:
    return torch.full((n, *shape), value, dtype=torch.float64)


def centroid(x: Tensor) -> Tensor:
    """(n, 2) column and row of the mean of the light."""
    light = (x[:, 0].double() + 1) / 2
    light = light / light.sum((1, 2), keepdim=True)
    columns = (light * torch.arange(x.shape[3])).sum((1, 2))
    rows = (light * torch.arange(x.shape[2])[:, None]).sum((1, 2))
    return torch.stack([columns, rows], dim=1)


def dot(n: int, side: int = 56) -> Tensor:
    """One white pixel in the middle, in a frame wide enough for 28-pixel units of two."""
    x = flat(-1, n, 1, side, side)
    x[..., side // 2, side // 2] = 1
    return x


def test_names_are_the_thesis_ten() -> None:
    assert NAMES == (
        "shot_noise",
        "impulse_noise",
        "glass_blur",
        "motion_blur",
        "stripe",
        "fog",
        "spatter",
        "dotted_line",
        "zigzag",
        "canny_edges",
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_image_changes_visibly_and_keeps_shape_type_and_range(name: str) -> None:
    x = digits()
    before = x.clone()
    y = corrupt(x, name)
    change = (y - x).abs().mean((1, 2, 3))
    assert change.min() > 0.005
    assert 0.03 < change.mean() < 0.85
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert y.abs().max() <= 1
    assert torch.equal(x, before)
    # the type of the images does not change what is drawn
    double = corrupt(x.double(), name)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), y, atol=1e-6, rtol=0)
    assert corrupt(x.half(), name).abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_corrupted_alike_in_any_batch(name: str) -> None:
    x = digits()
    state = torch.get_rng_state()
    y = corrupt(x, name, seed=3)
    assert torch.equal(corrupt(x, name, seed=3), y)
    assert torch.equal(corrupt(x[:5], name, seed=3), y[:5])
    assert torch.equal(corrupt(x[7:8], name, seed=3, first=7), y[7:8])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", DRAWN)
def test_seeds_and_indices_draw_differently(name: str) -> None:
    x = digits()[:4]
    y = corrupt(x, name)
    assert (corrupt(x, name, seed=1) - y).abs().max() > 0.05
    assert (corrupt(x, name, first=1) - y).abs().max() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_change_grows_from_nothing_with_severity(name: str) -> None:
    x = digits()
    assert torch.equal(corrupt(x, name, severity=0), x)
    steps = (0.01, 0.25, 0.5, 0.75, 1.0)
    change = [float((corrupt(x, name, severity=s) - x).abs().mean()) for s in steps]
    assert change[0] < 0.05 * change[-1]
    assert all(a < 0.98 * b for a, b in itertools.pairwise(change)), change
    # in proportion, roughly: half the severity is neither nothing nor everything
    assert 0.2 < change[2] / change[-1] < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_lengths_grow_with_the_image(name: str) -> None:
    x = digits()
    large = functional.interpolate(x, scale_factor=2, mode="bilinear").clamp(-1, 1)
    small, great = ((corrupt(y, name) - y).abs().mean() for y in (x, large))
    assert 0.65 < great / small < 1.5


@pytest.mark.parametrize("name", NAMES)
def test_colour_and_oblong_images(name: str) -> None:
    x = digits()[:4].repeat(1, 3, 1, 1)[..., 4:]
    y = corrupt(x, name)
    assert y.shape == (4, 3, 28, 24)
    assert (y - x).abs().mean() > 0.02
    # light that falls through one lens falls on all channels; noise strikes each by itself
    same = torch.equal(y[:, 0], y[:, 2])
    assert same == (name not in {"shot_noise", "impulse_noise"})


def test_shot_noise_counts_photons() -> None:
    grey = flat(0, 20, 1, 32, 32)
    counts = (corrupt(grey, "shot_noise") + 1) / 2 * 3
    assert values(counts.round(decimals=9)) == {0, 1, 2, 3}
    for k in range(3):
        share = float((counts.round() == k).double().mean())
        assert share == pytest.approx(stats.poisson.pmf(k, 1.5), abs=0.015)
    # where nothing is clipped the mean is kept, and the variance falls with the severity's square
    light = (corrupt(grey, "shot_noise", severity=0.2) + 1) / 2
    assert float(light.mean()) == pytest.approx(0.5, abs=0.002)
    assert float(light.var()) == pytest.approx(0.5 / 3 * 0.2**2, rel=0.05)
    assert torch.equal(corrupt(-torch.ones_like(grey), "shot_noise"), -torch.ones_like(grey))


@pytest.mark.parametrize("severity", [0.5, 1.0])
def test_impulse_noise_strikes_its_share(severity: float) -> None:
    grey = flat(0.25, 20, 3, 32, 32)
    y = corrupt(grey, "impulse_noise", severity=severity)
    struck = y != grey
    assert values(y[struck]) == {-1.0, 1.0}
    assert float(struck.double().mean()) == pytest.approx(0.17 * severity, abs=0.005)
    assert float(y[struck].mean()) == pytest.approx(0, abs=0.05)
    milder = corrupt(grey, "impulse_noise", severity=severity / 2)
    assert torch.equal(milder[milder != grey], y[milder != grey])


def test_stripe_inverts_the_middle_columns() -> None:
    x = digits()
    expected = x.clone()
    expected[..., 10:17] *= -1
    torch.testing.assert_close(corrupt(x, "stripe"), expected, atol=1e-6, rtol=0)
    changed = (corrupt(flat(1, 1, 1, 32, 32), "stripe") < 0)[0, 0]
    assert changed.all(0).nonzero().flatten().tolist() == list(range(12, 20))
    assert int(changed.sum()) == 8 * 32


def test_canny_edges_are_white_outlines_on_black() -> None:
    assert values(corrupt(digits(), "canny_edges")) == {-1.0, 1.0}
    square = flat(-1, 1, 1, 28, 28)
    square[..., 8:20, 8:20] = 1
    edges = corrupt(square, "canny_edges")[0, 0] > 0
    assert not edges[11:17, 11:17].any()
    assert not edges[:6].any()
    # one closed outline: it separates the inside from the outside
    _, regions = ndimage.label(~edges.numpy())
    assert regions == 2
    assert (corrupt(flat(0.3, 1, 1, 28, 28), "canny_edges") == -1).all()


def test_canny_edges_see_what_is_a_pixel_of_28_wide() -> None:
    bars = flat(-1, 1, 1, 56, 56)
    bars[..., 0::4] = bars[..., 1::4] = 1
    small = corrupt(bars[..., :28, :28], "canny_edges")
    large = corrupt(bars, "canny_edges")
    # the bars end at the border, which is an edge itself
    assert (small[..., 6:-6, 6:-6] == 1).double().mean() > 0.2
    assert (large[..., 12:-12, 12:-12] == -1).all()


@pytest.mark.parametrize("severity", [0.4, 1.0])
def test_motion_blur_leaves_a_trail_of_the_same_light(severity: float) -> None:
    x = dot(40)
    y = corrupt(x, "motion_blur", severity=severity)
    torch.testing.assert_close((y + 1).sum((1, 2, 3)), (x + 1).sum((1, 2, 3)))
    # the mean of the half Gaussian, at twice the size of MNIST-C's
    taps = np.arange(21)
    weights = stats.norm.pdf(taps / (6 * severity))
    moved = centroid(y) - centroid(x)
    expected = float((weights * taps).sum() / weights.sum())
    torch.testing.assert_close(moved.norm(dim=1), torch.full((40,), expected).double())
    angle = torch.atan2(moved[:, 1], moved[:, 0]).rad2deg()
    assert angle.abs().max() <= 45
    assert angle.max() > 35
    assert angle.min() < -35
    flatly = corrupt(flat(0.5, 2, 1, 28, 28), "motion_blur")
    torch.testing.assert_close(flatly, torch.full_like(flatly, 0.5))


def test_glass_blur_scatters_nearby_without_a_drift() -> None:
    half = flat(-1, 300, 1, 28, 28)
    half[..., 14:] = 1
    y = corrupt(half, "glass_blur")
    # two passes of one pixel, and two smoothings cut at four deviations (3 pixels)
    assert torch.equal(y[..., :6], half[..., :6])
    assert torch.equal(y[..., 22:], half[..., 22:])
    # rows that were alike differ, which smoothing alone cannot do
    assert y[..., 13].std(dim=2).mean() > 0.2
    block = flat(-1, 300, 1, 28, 28)
    block[..., 10:18, 10:18] = 1
    drift = centroid(corrupt(block, "glass_blur")) - centroid(block)
    assert drift.mean(0).abs().max() < 0.02


def test_fog_is_a_smooth_haze_that_takes_contrast() -> None:
    black, white = flat(-1, 30, 1, 32, 32), flat(1, 30, 1, 32, 32)
    dark, bright = corrupt(black, "fog"), corrupt(white, "fog")
    torch.testing.assert_close(bright - dark, torch.full_like(dark, 2 / 4))
    torch.testing.assert_close(dark.amin((1, 2, 3)), flat(-1, 30))
    torch.testing.assert_close(dark.amax((1, 2, 3)), flat(2 * 3 / 4 - 1, 30))
    # clouds: neighbours are alike, distant places are not; no grid shows
    near = (dark[..., 1:] - dark[..., :-1]).abs()
    far = (dark[..., 16:] - dark[..., :16]).abs()
    assert near.mean() < 0.35 * far.mean()
    below = (dark[..., 1:, :] - dark[..., :-1, :]).abs()
    for other in (near[..., ::2], near[..., 1::2], below[..., ::2, :], below[..., 1::2, :]):
        assert float(other.mean() / near.mean()) == pytest.approx(1, abs=0.1)


def test_spatter_covers_blots_with_mud() -> None:
    black, white = (corrupt(flat(v, 50, 1, 28, 28), "spatter") for v in (-1.0, 1.0))
    cover = 1 - (white - black) / 2
    assert ((cover.abs() < 1e-9) | (cover > 0.8 - 1e-9)).all()
    assert 0.05 < float((cover > 0).double().mean()) < 0.3
    torch.testing.assert_close((black + 1) / 2, 0.18 * cover)
    # blots, not specks: most of the mud is next to mud
    mud = cover[:, 0] > 0
    neighbours = mud[:, :, 1:] & mud[:, :, :-1]
    assert int(neighbours.sum()) > 0.6 * int(mud.sum())


def line(name: str) -> tuple[list[int], list[float], Tensor]:
    """Of each line on black: how many pieces, deviation across it, and its ink."""
    ink = (corrupt(flat(-1, 60, 1, 28, 28), name)[:, 0] + 1) / 2
    pieces, across = [], []
    for picture in ink.numpy():
        pieces.append(ndimage.label(picture > 0.25, np.ones((3, 3)))[1])
        places, weights = np.argwhere(picture > 0), picture[picture > 0]
        spread = np.linalg.eigvalsh(np.cov(places.T, aweights=weights))
        across.append(math.sqrt(spread[0]))
    return pieces, across, ink


def test_dotted_line_is_straight_and_broken() -> None:
    pieces, across, ink = line("dotted_line")
    # dots of radius 1, four pixels apart; a line through the middle of a square is 1.12 of its
    # side long in the mean over all directions
    assert 6 <= np.median(pieces) <= 9
    assert max(across) < 0.8
    assert float(ink.sum((1, 2)).mean()) == pytest.approx(1.12 * 28 / 4 * math.pi, rel=0.12)


def test_zigzag_is_whole_and_swings() -> None:
    pieces, across, ink = line("zigzag")
    assert np.median(pieces) == 1
    # a triangle wave of amplitude 3 deviates by 3/√3
    assert float(np.median(across)) == pytest.approx(math.sqrt(3), rel=0.2)
    length = 1.12 * 28 * math.hypot(4, 6) / 4
    assert float(ink.sum((1, 2)).mean()) == pytest.approx(1.5 * length, rel=0.15)


@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_lines_are_white_and_run_in_all_directions(name: str) -> None:
    x = digits()
    y = corrupt(x, name)
    assert (y >= x - 1e-6).all()
    ink = line(name)[2]
    torch.testing.assert_close(ink.amax((1, 2)), flat(1, 60), atol=0.15, rtol=0)
    # nothing else but ink towards white
    torch.testing.assert_close(corrupt(flat(0, 60, 1, 28, 28), name)[:, 0], ink)
    middle = centroid(2 * ink[:, None] - 1).mean(0) - 13.5
    assert middle.abs().max() < 0.8
    places = [np.argwhere(one > 0.25) for one in ink.numpy()]
    falling = [np.prod(here - here.mean(0), axis=1).sum() > 0 for here in places]
    assert 0.3 < np.mean(falling) < 0.7
    # every border is reached by a good part of the lines
    for side in (ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]):
        assert 0.2 < float((side.amax(1) > 0).double().mean()) < 0.9


def test_a_name_or_value_that_cannot_be_used_is_told_in_one_line() -> None:
    x = digits()[:2]
    with pytest.raises(InputError, match=r"'snow'.*shot_noise, .*canny_edges"):
        corrupt(x, "snow")
    for severity in (-0.1, 1.1, math.nan):
        with pytest.raises(InputError, match="severity must be in"):
            corrupt(x, "fog", severity=severity)
    with pytest.raises(InputError, match="index of the first image must be at least 0"):
        corrupt(x, "fog", first=-1)
    for wrong in (x[0], x.int()):
        with pytest.raises(InputError, match="expected images"):
            corrupt(wrong, "fog")
    for wrong in (x * 255, torch.full_like(x, math.nan)):
        with pytest.raises(InputError, match=r"expected images in \[-1, 1\]"):
            corrupt(wrong, "fog")


@pytest.mark.parametrize("name", NAMES)
def test_no_images_and_tiny_images(name: str) -> None:
    assert corrupt(torch.empty(0, 1, 28, 28), name).shape == (0, 1, 28, 28)
    assert corrupt(flat(-1, 2, 1, 1, 1), name).abs().max() <= 1


def test_mix_lies_between_images_of_the_same_index() -> None:
    x = digits()
    foggy = corrupt(x, "fog")
    torch.testing.assert_close(mix(x, foggy, 0.1), 0.9 * x + 0.1 * foggy)
    assert torch.equal(mix(x, foggy, 0), x)
    assert torch.equal(mix(x, foggy, 1), foggy)
    signs = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)).sign()
    for intensity in torch.linspace(0, 1, 101).tolist():
        assert mix(signs[0], signs[1], intensity).abs().max() <= 1
    with pytest.raises(InputError, match="as many OOD images"):
        mix(x, foggy[1:], 0.1)
    with pytest.raises(InputError, match="as many OOD images"):
        mix(x, foggy.double(), 0.1)
    with pytest.raises(InputError, match="intensity must be in"):
        mix(x, foggy, 1.5)
