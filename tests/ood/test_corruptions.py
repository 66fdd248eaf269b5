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
from lightning_gans.ood.corruptions import NAMES, corrupt, corrupt_bytes, mix
from lightning_gans.ood.corruptions.blur import through_glass
from lightning_gans.ood.corruptions.lines import dots, zigzags
from lightning_gans.ood.corruptions.overlays import plasma

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
    """One white pixel, in a frame wide enough for a trail to its left in units of two."""
    x = flat(-1, n, 1, side, side)
    x[..., side // 2, side - 8] = 1
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
    assert 0.03 < change.mean() < 1.1
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


def test_stripe_inverts_a_quarter_of_the_columns_at_either_side() -> None:
    x = digits()
    expected = x.clone()
    expected[..., :7] *= -1
    expected[..., 21:] *= -1
    torch.testing.assert_close(corrupt(x, "stripe"), expected, atol=1e-6, rtol=0)
    changed = (corrupt(flat(1, 1, 1, 32, 32), "stripe") < 0)[0, 0]
    assert changed.all(0).nonzero().flatten().tolist() == [*range(8), *range(24, 32)]
    assert int(changed.sum()) == 16 * 32


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
    # rounded to 16 bits, tap by tap
    torch.testing.assert_close((y + 1).sum((1, 2, 3)), (x + 1).sum((1, 2, 3)), atol=1e-3, rtol=0)
    # the mean of the half Gaussian, at twice the size of MNIST-C's; each tap is at a whole pixel
    taps = np.arange(41)
    weights = stats.norm.pdf(taps / (6 * severity))
    moved = centroid(x) - centroid(y)
    expected = float((weights * taps).sum() / weights.sum())
    torch.testing.assert_close(
        moved.norm(dim=1), torch.full((40,), expected).double(), atol=0.25, rtol=0
    )
    angle = torch.atan2(moved[:, 1], moved[:, 0]).rad2deg()
    assert angle.abs().max() <= 46
    assert angle.max() > 35
    assert angle.min() < -35
    flatly = corrupt(flat(0.5, 2, 1, 28, 28), "motion_blur")
    torch.testing.assert_close(flatly, torch.full_like(flatly, 0.5), atol=2e-5, rtol=0)


def test_glass_blur_swaps_pixels_and_smooths_down_the_columns() -> None:
    right = flat(-1, 300, 1, 28, 28)
    right[..., 14:] = 1
    y = corrupt(right, "glass_blur")
    # a pixel moves by few columns, mostly
    assert (y[..., :11] == -1).double().mean() > 0.99
    assert (y[..., 24:] == 1).double().mean() > 0.99
    # rows that were alike differ, which smoothing alone cannot do
    assert y[..., 13].std(dim=2).mean() > 0.2
    # before the swaps, and where there are none, smoothing takes nothing across the columns
    assert torch.equal(y[..., 0], right[..., 0])
    upper = flat(-1, 3, 1, 28, 28)
    upper[..., 14:, :] = 1
    smooth = (corrupt(upper, "glass_blur") + 1)[..., 0] / 2
    step = (upper[..., 0].numpy() + 1) / 2
    expected = ndimage.gaussian_filter1d(ndimage.gaussian_filter1d(step, 0.7), 0.7)
    # 8 bits in between
    torch.testing.assert_close(smooth, torch.from_numpy(expected), atol=0.005, rtol=0)


def test_glass_blur_swaps_in_place_from_the_end() -> None:
    # each pixel is swapped with the one before it in its row, so that the first that is swapped,
    # the last of the row, moves to the next place and so on: it arrives at the beginning
    row = torch.arange(28, dtype=torch.float64) / 255
    pixels = row.expand(1, 1, 28, 28).contiguous()
    is_hit = torch.zeros(1, 1, 28, 28, dtype=torch.bool)
    is_hit[:, :, 5] = True
    offsets = torch.zeros(1, 2, 1, 28, 28, dtype=torch.int64)
    offsets[:, 1] = -1
    made = through_glass(pixels, 1e-6, is_hit, offsets)[0, 0] * 255
    expected = torch.arange(28).repeat(28, 1)
    expected[5] = torch.tensor([0, 27, *range(1, 27)])
    assert torch.equal(made.round().long(), expected)


def test_fog_is_a_smooth_haze_that_takes_contrast() -> None:
    white = flat(1, 100, 1, 28, 28)
    grey = flat(0, 100, 1, 28, 28)
    # (x + 3 haze) m / (m + 3), of which m is the maximum of x
    haze = ((corrupt(white, "fog") + 1) / 2 * 4 - 1) / 3
    again = ((corrupt(grey, "fog") + 1) / 2 * 3.5 / 0.5 - 0.5) / 3
    torch.testing.assert_close(haze, again)
    assert haze.min() >= 0
    assert haze.max() <= 1
    assert torch.equal(corrupt(-white, "fog"), -white)
    # a haze varies within an image far less than between images
    within, between = haze.std((1, 2, 3)).mean(), haze.mean((1, 2, 3)).std()
    assert within < 0.5 * between
    # clouds: neighbours are alike; no grid shows
    near = (haze[..., 1:] - haze[..., :-1]).abs()
    far = (haze[..., 16:] - haze[..., :16][..., :12]).abs()
    assert near.mean() < 0.35 * far.mean()


def test_plasma_wobbles_half_as_much_when_its_grid_is_twice_as_fine() -> None:
    # one offset alone, of the finest grid and of the next, beside the fixed one of the first
    heights = []
    for step in (2, 4, 8):
        offsets = torch.zeros(64, 64, dtype=torch.float64)
        offsets[32, 32] = 1
        offsets[step // 2, step // 2] = 0.5
        alone = torch.zeros_like(offsets)
        alone[32, 32] = 1
        heights.append(float((plasma(offsets) - plasma(alone))[step // 2, step // 2]))
    for fine, coarse in itertools.pairwise(heights):
        assert coarse / fine == pytest.approx(1.96)


def test_plasma_joins_at_its_edges() -> None:
    drawn = torch.rand(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = plasma(2 * drawn - 1)
    assert (float(y.min()), float(y.max())) == (0, 1)
    for axis in (0, 1):
        inside = (y - y.roll(1, axis)).abs().mean(1 - axis)
        assert inside[0] < 2 * inside[1:].mean()


def test_spatter_covers_blots_with_mud() -> None:
    black, white = (corrupt(flat(v, 50, 1, 28, 28), "spatter") for v in (-1.0, 1.0))
    cover = 1 - (white - black) / 2
    assert ((cover.abs() < 1e-6) | (cover > 0.8 - 1e-6)).all()
    # of MNIST-C's 10,000 images about a tenth is mud
    assert 0.05 < float((cover > 1e-6).double().mean()) < 0.3
    torch.testing.assert_close((black + 1) / 2, 63 / 255 * cover, atol=1e-6, rtol=0)
    # blots, not specks: most of the mud is next to mud
    mud = cover[:, 0] > 1e-6
    neighbours = mud[:, :, 1:] & mud[:, :, :-1]
    assert int(neighbours.sum()) > 0.6 * int(mud.sum())


def ink_of(name: str, n: int = 300) -> Tensor:
    """The ink of lines on black, (n, 28, 28)."""
    return (corrupt(flat(-1, n, 1, 28, 28), name)[:, 0] + 1) / 2


def row_of(ink: Tensor, column: int) -> Tensor:
    """The mean row of the ink of a column."""
    weight = ink[:, :, column]
    return (weight * torch.arange(28)[:, None].T).sum(1) / weight.sum(1)


def test_dotted_line_is_straight_and_broken() -> None:
    ink = ink_of("dotted_line")
    columns = ink.amax((0, 1)) > 0
    # dots two columns wide; the line ends before the last column
    assert columns.tolist() == [k % 4 >= 2 and k < 27 for k in range(28)]
    # where the ink does not leave the image, its columns lie on a line
    inside = (ink[:, :3].amax((1, 2)) == 0) & (ink[:, -3:].amax((1, 2)) == 0)
    assert inside.sum() > 30
    rows = torch.stack([row_of(ink[inside], k) for k in (2, 14, 26)])
    torch.testing.assert_close(rows[1], (rows[0] + rows[2]) / 2, atol=0.15, rtol=0)
    # the ends are anywhere from row 0 to row 26, each by itself
    left, right = rows[0], rows[2]
    assert (right - left).abs().max() > 8
    assert abs(float(torch.corrcoef(torch.stack([left, right]))[0, 1])) < 0.4


def test_a_line_fades_with_the_logarithm_of_the_distance() -> None:
    level = dots(flat(0, 1, 1, 28, 28), torch.tensor([[10.0, 10.0]]))[0, 0]
    assert level[10, 2] == 1
    assert float(level[9, 2]) == pytest.approx(1 + math.log(1 - 1 / 2.3))
    assert float(level[11, 3]) == pytest.approx(1 + math.log(1 - 1 / 2.3))
    assert level[8, 2] == 0, "two rows away there is no ink"
    assert level[12, 2] == 0


def test_zigzag_is_whole_and_swings() -> None:
    ink = zigzags(flat(0, 1, 1, 28, 28), torch.tensor([10.0]), torch.tensor([0.0]))[0, 0]
    rows = {k: int(ink[:, k].argmax()) for k in range(2, 25)}
    # two below and two above, every four columns
    assert {k: rows[k] for k in (2, 4, 8, 12, 16, 20, 24)} == {
        **{2: 10, 4: 12, 8: 8, 12: 12},
        **{16: 8, 20: 12, 24: 8},
    }
    assert [rows[k] for k in range(4, 9)] == [12, 11, 10, 9, 8]
    assert (ink[:, :2] == 0).all()
    assert (ink[:, 25:] == 0).all()
    pieces = [ndimage.label(one > 0.2, np.ones((3, 3)))[1] for one in ink_of("zigzag").numpy()]
    assert np.median(pieces) == 1


def test_zigzag_falls_by_at_most_five_rows_either_way() -> None:
    ink = ink_of("zigzag", 400)
    inside = (ink[:, :1].amax((1, 2)) == 0) & (ink[:, -1:].amax((1, 2)) == 0)
    # the first and the last vertices, two rows below and two above
    fall = (row_of(ink[inside], 23) + 1) - (row_of(ink[inside], 3) - 1)
    assert fall.min() > -7
    assert fall.max() < 6
    assert fall.std() > 1.5
    starts = ink[:, :, 2].argmax(1)
    assert (int(starts.min()), int(starts.max())) == (0, 26)


@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_lines_are_added_to_the_image(name: str) -> None:
    x = digits()
    y = corrupt(x, name)
    assert (y >= x - 1e-6).all()
    ink = ink_of(name)
    torch.testing.assert_close(
        corrupt(flat(-0.5, 300, 1, 28, 28), name)[:, 0], (2 * (ink + 0.25) - 1).clamp(max=1)
    )


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


def test_bytes_that_cannot_be_corrupted_are_told_in_one_line() -> None:
    x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(InputError, match="'snow'"):
        corrupt_bytes(x, "snow")
    with pytest.raises(InputError, match="index of the first image must be at least 0"):
        corrupt_bytes(x, "fog", first=-1)
    for wrong in (x[0], x.float()):
        with pytest.raises(InputError, match=r"expected images .* of uint8"):
            corrupt_bytes(wrong, "fog")


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_corrupted_as_floats_are_and_truncated(name: str) -> None:
    x = ((digits() + 1) * 127.5).round().to(torch.uint8)
    made = corrupt_bytes(x, name, seed=2, first=3)
    floats = (corrupt(x.double() / 127.5 - 1, name, seed=2, first=3) + 1) * 127.5
    # a float that rounding takes below a whole number loses one
    assert float((floats - made).min()) > -1e-4
    assert float((floats - made).max()) < 1 + 1e-4
    assert torch.equal(corrupt_bytes(x[:0], name), x[:0])


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
