"""How much of an image its category decides, on images whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.models import DLSGAN, CategoricalInfoGAN
from lightning_gans.reproduce import conditions
from lightning_gans.reproduce.conditions import components, decided


def design(rows: int, columns: int, row: float, column: float, both: float) -> Tensor:
    """A crossed design of 20,000 elements with components of these standard deviations."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, 20_000, generator=random)

    return row * normal(rows, 1) + column * normal(1, columns) + both * normal(rows, columns) + 3


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (5, 2), (8, 8)])
def test_components_of_variance_are_unbiased(rows: int, columns: int) -> None:
    between, within = components(design(rows, columns, 0.5, 2.0, 1.0))
    assert between == pytest.approx(0.25, rel=0.15)  # naive: 0.25 + 1 / columns
    assert within == pytest.approx(2.0**2 + 1.0**2, rel=0.05)


def test_without_an_effect_of_rows_there_is_none() -> None:
    between, within = components(design(4, 6, 0.0, 2.0, 0.0))
    assert between == pytest.approx(0, abs=1e-9)
    assert within == pytest.approx(4, rel=0.05)


class Images:
    """Images whose pixels are a sum of a pattern of the latent and one of the category."""

    def __init__(self, of_category: float, of_latent: float) -> None:
        random = torch.Generator().manual_seed(1)
        self.c = of_category * torch.randn(8, 64, generator=random)
        self.z = of_latent * torch.randn(4, 64, generator=random)

    def __call__(self, z: Tensor, c: Tensor) -> Tensor:
        return (c @ self.c + z @ self.z).view(-1, 1, 8, 8)


@pytest.mark.parametrize(
    ("of_category", "of_latent", "share"), [(0.0, 0.1, 0.0), (0.1, 0.0, 1.0), (0.1, 0.1, 0.2)]
)
def test_the_share_of_the_category_is_measured(
    of_category: float, of_latent: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = CategoricalInfoGAN(latent_dim=4, image_shape=(1, 16, 16), num_categories=8)
    monkeypatch.setattr(model, "decode", Images(of_category, of_latent))
    monkeypatch.setattr(conditions, "load", lambda run: model)
    found = decided(Path("run"), 64, 64)
    # a category of 8 has a variance of 7/8 of its pattern, the latents of 4 of four patterns
    assert found["by_category"] == pytest.approx(share, abs=0.04)
    assert found["within_category"] == pytest.approx(4 * of_latent**2, rel=0.35)


def test_equal_images_have_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CategoricalInfoGAN(latent_dim=4, image_shape=(1, 16, 16), num_categories=8)
    monkeypatch.setattr(model, "decode", Images(0.0, 0.0))
    monkeypatch.setattr(conditions, "load", lambda run: model)
    assert math.isnan(decided(Path("run"), 4, 4)["by_category"])


def test_a_model_without_categories_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = DLSGAN(latent_dim=4, image_shape=(1, 16, 16))
    monkeypatch.setattr(conditions, "load", lambda run: model)
    with pytest.raises(InputError, match="expected a model with categories, got DLSGAN"):
        decided(Path("run"))
