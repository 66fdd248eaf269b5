"""Sums of unit vectors: generators for which the answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.inversion.embedding import unit_sums

DIM, SHAPE = 5, (1, 4, 6)


class Affine(nn.Module):
    """An image of 4 × 6; element i of the latent shifts row-major pixel i alone, by 2."""

    def forward(self, z: Tensor) -> Tensor:
        x = torch.full((len(z), math.prod(SHAPE)), 0.3)
        x[:, :DIM] += 2 * z
        return x.view(-1, *SHAPE)


def test_changes_of_an_affine_generator_add_up() -> None:
    found = unit_sums(Affine(), DIM)
    assert found.explained == pytest.approx(1, abs=1e-6)
    # a sum differs from its part by one pixel, and from another vector by three
    assert found.to_parts == pytest.approx(2 / math.sqrt(24), rel=1e-6)
    assert found.to_others == pytest.approx(2 * math.sqrt(3 / 24), rel=1e-6)


def test_the_norm_of_the_vectors_can_be_chosen() -> None:
    assert unit_sums(Affine(), DIM, norm=3).to_parts == pytest.approx(6 / math.sqrt(24), rel=1e-6)


class Squares(nn.Module):
    """Each pixel is the square of the sum of the latent: changes are quadrupled, not doubled."""

    def forward(self, z: Tensor) -> Tensor:
        return z.sum(1).square()[:, None].expand(-1, 4).reshape(-1, 1, 2, 2)


def test_what_interacts_is_not_explained() -> None:
    found = unit_sums(Squares(), DIM)
    # (4 - 1 - 1)² of 4²
    assert found.explained == pytest.approx(1 - 4 / 16)
    assert found.to_parts == found.to_others == pytest.approx(3)


class First(nn.Module):
    """Only the element of the lowest number that is not 0 is shown, at its own pixel."""

    def forward(self, z: Tensor) -> Tensor:
        shown = torch.zeros(len(z), DIM)
        rows = z.any(1)
        shown[rows, (z[rows] != 0).int().argmax(1)] = 1
        return shown.view(-1, 1, 1, DIM)


def test_an_image_of_one_of_two_is_half_explained() -> None:
    found = unit_sums(First(), DIM, pairs=1000)
    assert found.explained == pytest.approx(0)  # the other part is left, as large as the change
    assert found.to_parts == pytest.approx(math.sqrt(2 / DIM) / 2)
    assert found.to_others == pytest.approx(math.sqrt(2 / DIM))


def test_pairs_are_drawn_by_the_seed_and_each_once() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 9))
    every = unit_sums(network, 30, pairs=435)
    assert unit_sums(network, 30, pairs=10_000) == pytest.approx(every)
    few, same, other = (unit_sums(network, 30, pairs=20, seed=seed) for seed in (1, 1, 2))
    assert few == same
    assert few != other


def test_latents_of_two_elements_have_no_other_vector() -> None:
    with pytest.raises(InputError, match="at least 3 elements, got 2"):
        unit_sums(Affine(), 2)
