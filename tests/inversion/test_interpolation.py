"""Paths between codes: ends, norms and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.inversion.interpolation import great_circle, linear, slerp

Path = Callable[[Tensor, Tensor, int], Tensor]
both = pytest.mark.parametrize("path", [linear, slerp])


def codes(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_are_the_codes(path: Path, dtype: torch.dtype) -> None:
    z1, z2 = codes(5, 7, dtype=dtype), 3 * codes(5, 7, seed=1, dtype=dtype)
    found = path(z1, z2, 6)
    assert found.shape == (5, 6, 7)
    assert found.dtype == dtype
    assert torch.equal(found[:, 0], z1)
    assert torch.equal(found[:, -1], z2)


@both
def test_a_batch_is_each_pair_on_its_own(path: Path) -> None:
    z1, z2 = codes(4, 9), codes(4, 9, seed=1)
    single = [path(a, b, 5) for a, b in zip(z1, z2, strict=True)]
    assert single[0].shape == (5, 9)
    torch.testing.assert_close(path(z1, z2, 5), torch.stack(single))


def test_linear_is_evenly_spaced() -> None:
    z1, z2 = torch.tensor([0.0, 4.0]), torch.tensor([1.0, 0.0])
    expected = [[0, 4], [0.25, 3], [0.5, 2], [0.75, 1], [1, 0]]
    assert linear(z1, z2, 5).tolist() == expected


def test_slerp_at_a_right_angle() -> None:
    """Also for unequal norms: cos(μπ/2)·z₁ + sin(μπ/2)·z₂."""
    z1, z2 = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 5.0]).double()
    angles = [0, math.pi / 8, math.pi / 4, 3 * math.pi / 8, math.pi / 2]
    expected = torch.tensor([[2 * math.cos(a), 5 * math.sin(a)] for a in angles]).double()
    torch.testing.assert_close(slerp(z1, z2, 5), expected, rtol=1e-7, atol=1e-7)


def test_slerp_keeps_an_equal_norm_and_turns_evenly() -> None:
    z1, z2 = codes(20, 64), codes(20, 64, seed=1)
    z2 = z2 * z1.norm(dim=1, keepdim=True) / z2.norm(dim=1, keepdim=True)
    path = slerp(z1, z2, 9)
    norms = path.norm(dim=2)
    torch.testing.assert_close(norms, norms[:, :1].expand(-1, 9))
    cosines = torch.nn.functional.cosine_similarity(path[:, 1:], path[:, :-1], dim=2)
    turns = cosines.acos()
    whole = torch.nn.functional.cosine_similarity(z1, z2, dim=1).acos()
    torch.testing.assert_close(turns, (whole / 8)[:, None].expand(-1, 8))
    # the straight line does not
    assert (linear(z1, z2, 9).norm(dim=2)[:, 4] < 0.85 * norms[:, 0]).all()


@pytest.mark.parametrize("angle", [1e-3, 1e-6, 1e-9, 1e-17, 0.0])
def test_slerp_of_nearly_parallel_codes_is_the_line(angle: float) -> None:
    z1 = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    z2 = torch.tensor([[2.0, 2 * angle, 0.0]], dtype=torch.float64)
    path = slerp(z1, z2, 7)
    torch.testing.assert_close(path, linear(z1, z2, 7), rtol=angle**2 + 1e-12, atol=1e-12)
    # a parallel pair beside another changes nothing of it
    other = codes(2, 3)
    pair = slerp(torch.cat([z1, other[:1]]), torch.cat([z2, other[1:]]), 7)
    assert torch.equal(pair[1], slerp(other[0], other[1], 7))
    assert torch.equal(pair[0], path[0])


def test_slerp_of_a_small_angle_keeps_the_norm() -> None:
    """To 12 digits; the line would lose θ²/8 of it."""
    z1 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    z2 = torch.tensor([math.cos(1e-4), math.sin(1e-4)], dtype=torch.float64)
    assert float(slerp(z1, z2, 3)[1].norm()) == pytest.approx(1, abs=1e-12)
    assert float(linear(z1, z2, 3)[1].norm()) == pytest.approx(1 - 1e-8 / 8, abs=1e-12)


def test_slerp_of_nearly_opposite_codes_goes_round() -> None:
    z1 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    z2 = torch.tensor([-math.cos(1e-4), math.sin(1e-4)], dtype=torch.float64)
    middle = torch.tensor([math.sin(0.5e-4), math.cos(0.5e-4)], dtype=torch.float64)
    torch.testing.assert_close(slerp(z1, z2, 3)[1], middle, rtol=0, atol=1e-9)


def test_a_great_circle_in_the_plane_is_cosine_and_sine() -> None:
    """Whatever the second code's norm, and its part along the first."""
    z1, z2 = torch.tensor([2.0, 0.0]).double(), torch.tensor([-3.0, 0.5]).double()
    expected = [[2, 0], [0, 2], [-2, 0], [0, -2], [2, 0]]
    torch.testing.assert_close(
        great_circle(z1, z2, 5), torch.tensor(expected).double(), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_great_circle_keeps_its_norm_passes_the_other_code_and_ends_where_it_began(
    dtype: torch.dtype,
) -> None:
    z1, z2 = codes(6, 32, dtype=dtype), 2 * codes(6, 32, seed=1, dtype=dtype)
    circle = great_circle(z1, z2, 361)
    assert circle.shape == (6, 361, 32)
    assert circle.dtype == dtype
    assert torch.equal(circle[:, 0], z1)
    assert torch.equal(circle[:, -1], z1)
    norms = circle.norm(dim=2)
    torch.testing.assert_close(norms, norms[:, :1].expand(-1, 361))
    # one of the points, a degree apart, is nearly of the direction of the second code
    cosines = torch.nn.functional.cosine_similarity(circle, z2[:, None], dim=2)
    assert (cosines.max(1).values > math.cos(math.radians(0.6))).all()
    # which comes in the first half
    assert (cosines.argmax(1) < 180).all()
    turns = torch.nn.functional.cosine_similarity(circle[:, 1:], circle[:, :-1], dim=2)
    torch.testing.assert_close(turns, torch.full_like(turns, math.cos(math.radians(1))))
    # codes on their own
    torch.testing.assert_close(great_circle(z1[2], z2[2], 361), circle[2])


@pytest.mark.parametrize("factor", [1.0, -2.0, 0.0])
def test_codes_of_one_direction_have_no_great_circle(factor: float) -> None:
    for z in (codes(3, 5), codes(3, 5, dtype=torch.float32)):
        for pair in ((z, factor * z), (factor * z, codes(3, 5).to(z) if factor == 0 else z)):
            with pytest.raises(InputError, match="not unique"):
                great_circle(*pair, 9)


def test_what_has_no_path_is_refused() -> None:
    z = codes(3, 4)
    with pytest.raises(InputError, match="opposite"):
        slerp(z, torch.cat([z[:2], -2 * z[2:]]), 5)
    with pytest.raises(InputError, match="opposite"):
        slerp(z.float(), -z.float(), 5)
    with pytest.raises(InputError, match="norm 0"):
        slerp(z, z * torch.tensor([[1.0], [0.0], [1.0]]), 5)
    for path in (linear, slerp, great_circle):
        with pytest.raises(InputError, match=r"at least 2 steps, .* got 1"):
            path(z, z, 1)
        with pytest.raises(InputError, match=r"\(3, 4\) and \(4,\)"):
            path(z, z[0], 5)
