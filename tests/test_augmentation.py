"""Augmentations against their definitions, and what must hold for any images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from torch import Tensor

from lightning_gans.augmentation import DiffAugment, IdentityPreserving, NoAugmentation
from lightning_gans.errors import InputError
from tests.support.diffaugment import plainly


def images(n: int, channels: int = 3, height: int = 6, width: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = (n, channels, height, width)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def draws(n: int) -> Tensor:
    return torch.rand(n, 7, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", [(3, 6, 8), (1, 9, 9), (3, 16, 5), (2, 1, 1)])
def test_diffaugment_is_the_papers_policy(shape: tuple[int, int, int]) -> None:
    x, u = images(200, *shape), draws(200)
    expected = torch.stack([plainly(*pair) for pair in zip(x, u, strict=True)])
    torch.testing.assert_close(DiffAugment()(x, u), expected)


def test_a_strength_of_zero_changes_nothing_and_each_strength_only_its_own() -> None:
    x, u = images(20), draws(20)
    assert torch.equal(DiffAugment(color=0, translation=0, cutout=0)(x, u), x)
    assert torch.equal(NoAugmentation()(x, u), x)
    moved = DiffAugment(color=0, cutout=0)(x, u)
    # shifted and uncovered, but never another value
    assert set(moved.flatten().tolist()) <= {0.0, *x.flatten().tolist()}
    cut = DiffAugment(color=0, translation=0)(x, u)
    assert ((cut == x) | (cut == 0)).all()
    coloured = DiffAugment(translation=0, cutout=0)(x, u)
    shift = coloured.mean((1, 2, 3)) - x.mean((1, 2, 3))
    # contrast and saturation keep the mean; brightness moves it by up to a half
    torch.testing.assert_close(shift, u[:, 0].double() - 0.5)
    half = DiffAugment(color=0.5, translation=0, cutout=0)(x, u)
    torch.testing.assert_close(half.mean((1, 2, 3)) - x.mean((1, 2, 3)), shift / 2)


def test_over_many_draws_colours_move_by_nothing_on_average() -> None:
    x = images(1).expand(20_000, -1, -1, -1)
    mean = DiffAugment(translation=0, cutout=0)(x, draws(20_000)).mean(0)
    torch.testing.assert_close(mean, x[0], rtol=0, atol=0.03)


def test_every_shift_and_every_place_of_the_cut_is_equally_likely() -> None:
    x = torch.zeros(45_000, 1, 8, 8)
    x[:, 0, 4, 4] = 1
    found = DiffAugment(color=0, translation=0.125, cutout=0)(x, draws(45_000))[:, 0].mean(0)
    torch.testing.assert_close(found[3:6, 3:6], torch.full((3, 3), 1 / 9), rtol=0, atol=0.01)
    ones = torch.ones(45_000, 1, 8, 8)
    left = DiffAugment(color=0, translation=0)(ones, draws(45_000))[:, 0].mean(0)
    # of 9 places of the centre along each axis, 3 to 5 reach a pixel; as often from either end
    reached = torch.tensor([3, 4, 4, 4, 4, 4, 4, 3]) / 9
    torch.testing.assert_close(left, 1 - reached[:, None] * reached, rtol=0, atol=0.01)


def test_draws_at_both_ends_stay_in_range() -> None:
    x, low = images(1), torch.zeros(1, 7)
    high = torch.full((1, 7), 1 - 2**-24)
    for u in (low, high):
        torch.testing.assert_close(DiffAugment()(x, u)[0], plainly(x[0], u[0]))
    # 1 - 2⁻²⁴ times many may be rounded to as many
    for side in range(1, 70):
        x = images(1, 1, side, side)
        assert DiffAugment(translation=1, cutout=1)(x, high).isfinite().all()


def test_gradients_flow_through_it_twice() -> None:
    x, u = images(2, 2, 4, 4).requires_grad_(), draws(2)
    change = DiffAugment()
    assert torch.autograd.gradcheck(lambda x: change(x, u), x)
    assert torch.autograd.gradgradcheck(lambda x: change(x, u).square(), x)


def described(x: Tensor, u: Tensor, change: IdentityPreserving) -> Tensor:
    """One image, by scipy: where each pixel comes from, and the value there."""
    turn, size, down, right, _, power = (2 * u - 1).tolist()
    angle = math.radians(change.rotation) * turn
    size = 1 + change.zoom * size
    height, width = x.shape[1:]
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    shift = np.array([down * height, right * width]) * change.translation
    mirror = np.diag([1.0, -1.0 if u[4] < change.mirror else 1.0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = mirror @ rotation / size
    offset = middle - matrix @ (middle + shift)
    rows = [
        affine_transform(channel, matrix, offset, order=1, mode="nearest") for channel in x.numpy()
    ]
    light = torch.tensor(np.stack(rows)) / 2 + 0.5
    y: Tensor = 2 * light ** (1 + change.gamma * power) - 1
    return y


@pytest.mark.parametrize("shape", [(3, 6, 8), (1, 9, 9), (2, 1, 1)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"rotation": 180, "zoom": 0.9},
        {"rotation": 0, "zoom": 0, "translation": 0.3},
        {"rotation": 0, "zoom": 0, "mirror": 0.5},
        {"rotation": 45, "zoom": 0.3, "translation": 0.5, "mirror": 0.5, "gamma": 0.3},
    ],
)
def test_identity_preserving_changes_are_those_of_scipy(
    shape: tuple[int, int, int], settings: dict[str, float]
) -> None:
    change = IdentityPreserving(**settings)
    x, u = images(100, *shape), draws(100)[:, :6].double()
    expected = torch.stack([described(*pair, change) for pair in zip(x, u, strict=True)])
    # gamma's light has a floor
    close = 0.002 if settings.get("gamma") else 1e-9
    torch.testing.assert_close(change(x, u), expected, rtol=0, atol=close)


def test_middle_draws_change_nothing_and_mirroring_exchanges_left_and_right() -> None:
    x = images(4)
    change = IdentityPreserving(90, 0.5, 0.5, mirror=0.5)
    torch.testing.assert_close(change(x, torch.full((4, 6), 0.5)), x)
    mirrored = torch.full((4, 6), 0.5)
    mirrored[:, 4] = 0.49
    torch.testing.assert_close(change(x, mirrored), x.flip(3))


def test_gradients_flow_through_a_rotation_twice() -> None:
    x, u = images(2, 2, 4, 4).requires_grad_(), draws(2)[:, :6]
    change = IdentityPreserving(30, 0.2, 0.1, 0.5, 0.2)
    assert torch.autograd.gradcheck(lambda x: change(x, u), x)
    assert torch.autograd.gradgradcheck(lambda x: change(x, u).square(), x)


def test_gamma_of_black_pixels_and_of_fakes_below_black_has_a_gradient() -> None:
    x = torch.tensor([-1.0, -1.2, 0.0, 1.0]).view(1, 1, 2, 2).requires_grad_()
    change = IdentityPreserving(rotation=0, zoom=0, gamma=0.5)
    for power in (0.0, 0.999):
        u = torch.full((1, 6), 0.5)
        u[:, 5] = power
        y = change(x, u)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        assert y.isfinite().all()
        assert slope.isfinite().all()
        assert second.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    "change",
    [DiffAugment(), IdentityPreserving(180, 0.3, 0.3, 0.5, 0.3)],
    ids=["DiffAugment", "IdentityPreserving"],
)
def test_images_in_half_precision_are_changed_as_in_double_precision(
    change: DiffAugment | IdentityPreserving, dtype: torch.dtype
) -> None:
    # stripes of a pixel: a place that is wrong by a part of a pixel is seen; 511 is no bfloat16
    x = torch.ones(4, 1, 512, 512, dtype=torch.float64)
    x[..., ::2] = -1
    u = draws(4)[:, : change.draws]
    found = change(x.to(dtype), u)
    assert found.dtype == dtype
    close = {torch.bfloat16: 0.02, torch.float16: 0.003, torch.float32: 1e-3}[dtype]
    torch.testing.assert_close(found.double(), change(x, u), rtol=0, atol=close)


def test_an_angle_beyond_a_half_turn_and_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rotation: expected number from 0 to 180, got 181"):
        IdentityPreserving(181)
    with pytest.raises(InputError, match=r"IdentityPreserving changes images .* \(2,\)"):
        IdentityPreserving()(torch.zeros(3, 2), draws(3)[:, :6])


def test_points_and_strengths_out_of_range_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"changes images .* got examples of shape \(2,\)"):
        DiffAugment()(torch.zeros(3, 2), draws(3))
    with pytest.raises(ValueError, match=r"cutout: expected number from 0 to 1, got 1\.5"):
        DiffAugment(cutout=1.5)
