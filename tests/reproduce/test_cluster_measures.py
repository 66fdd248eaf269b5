"""The measures of clusters have the values that are known of made points."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_gans.data import Gaussians
from lightning_gans.errors import InputError
from lightning_gans.models import GAN, CategoricalInfoGAN
from lightning_gans.networks import MLPDiscriminator, MLPGenerator
from lightning_gans.reproduce import clusters
from lightning_gans.reproduce.clusters import (
    TRUE,
    assignment,
    between,
    boundary,
    real_boundary,
    unsure,
)

CENTRES = torch.tensor(Gaussians().centres).float()


def made(
    monkeypatch: pytest.MonkeyPatch, where: list[int], p: tuple[float, ...], n: int = 20_000
) -> None:
    """Let a model draw points of category k around the centre of cluster where[k]."""
    random = torch.Generator().manual_seed(0)
    c = torch.multinomial(torch.tensor(p), n, replacement=True, generator=random)
    x = CENTRES[torch.tensor(where)[c]] + 0.3 * torch.randn(n, 2, generator=random)

    def drawn(run: Path, points: int) -> tuple[Tensor, Tensor, Tensor]:
        return x, c, torch.tensor(p)

    monkeypatch.setattr(clusters, "drawn", drawn)


def test_categories_of_their_own_clusters_in_any_order_are_correct(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = [2, 0, 3, 1]
    made(monkeypatch, order, tuple(TRUE[k] for k in order))
    found = assignment(Path("run"))
    assert found["categories"] == 4
    assert found["assigned"] == found["correct"] == 1
    assert found["p_error"] < 1e-6
    assert found["lowest_share"] > 0.98
    entropy = -sum(p * math.log(p) for p in TRUE)
    assert found["entropy"] == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize(
    ("where", "p", "categories", "assigned", "correct"),
    [
        ([0, 1, 2, 3], (0.1, 0.2, 0.4, 0.3), 4, 1, 0),  # two have swapped their probabilities
        ([0, 1, 3, 3], TRUE, 4, 0, 0),  # two share a cluster
        ([0, 1, 2], (0.2, 0.3, 0.5), 3, 0, 0),
        ([0, 1, 2, 3, 3], (0.1, 0.2, 0.3, 0.38, 0.02), 5, 0, 0),
        ([0, 1, 2, 3, 3], (0.1, 0.2, 0.3, 0.395, 0.005), 4, 1, 1),  # below 1 % is not in use
    ],
)
def test_categories_that_are_not_the_clusters_are_not_correct(
    where: list[int],
    p: tuple[float, ...],
    categories: int,
    assigned: int,
    correct: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(monkeypatch, where, p)
    found = assignment(Path("run"))
    assert (found["categories"], found["assigned"], found["correct"]) == (
        categories,
        assigned,
        correct,
    )


def test_a_category_that_lies_in_two_clusters_is_not_assigned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.cat([CENTRES.repeat_interleave(torch.tensor([100, 200, 300, 400]), 0)])
    c = torch.tensor([0, 1, 2, 3]).repeat_interleave(torch.tensor([100, 200, 300, 400]))
    c[100:140] = 0  # 40 of the 140 points of category 0 are in the second cluster
    monkeypatch.setattr(clusters, "drawn", lambda run, points: (x, c, torch.tensor(TRUE)))
    assert assignment(Path("run"))["assigned"] == 0
    assert assignment(Path("run"))["lowest_share"] == pytest.approx(100 / 140)


def test_points_of_the_clusters_are_as_near_to_the_boundary_as_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(monkeypatch, [0, 1, 2, 3], TRUE, n=100_000)
    found, real = boundary(Path("run")), real_boundary()["real.near_boundary"]
    assert found["near_boundary"] == pytest.approx(real, abs=0.002)
    assert 0.015 < real < 0.03
    assert found["mean_to_centre"] < 0.01


def test_classes_in_the_wrong_place_are_far_from_their_centres(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(monkeypatch, [1, 0, 3, 2], TRUE)
    expected = float((CENTRES - CENTRES[torch.tensor([1, 0, 3, 2])]).norm(dim=1).mean())
    assert boundary(Path("run"))["mean_to_centre"] == pytest.approx(expected, abs=0.02)


def test_categories_that_tell_nothing_of_the_cluster_have_no_information(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made(monkeypatch, [0, 1, 2, 3], TRUE)
    used = between(Path("run"))
    assert used["between"] == pytest.approx(math.exp(-4.5), abs=0.003)  # beyond three deviations
    assert used["information"] == pytest.approx(-sum(p * math.log(p) for p in TRUE), abs=0.06)
    x, c, p = clusters.drawn(Path("run"), 1)
    shuffled = c[torch.randperm(len(c), generator=torch.Generator().manual_seed(1))]
    monkeypatch.setattr(clusters, "drawn", lambda run, points: (x, shuffled, p))
    assert between(Path("run"))["information"] < 0.001
    middle = CENTRES.mean(0).expand(len(x), 2)
    monkeypatch.setattr(clusters, "drawn", lambda run, points: (middle, c, p))
    assert between(Path("run"))["between"] == 1


def test_points_near_the_boundaries_of_a_classifier_are_those_it_is_unsure_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = CategoricalInfoGAN(
        latent_dim=4,
        image_shape=(2,),
        num_categories=2,
        generator=MLPGenerator,
        discriminator=MLPDiscriminator,
    )
    # posteriors of 1 / (1 + exp(-x)): below 0.9 where |x| < log 9
    monkeypatch.setattr(model, "class_logits", lambda x: torch.stack([x[:, 0], 0 * x[:, 0]], 1))
    monkeypatch.setattr(clusters, "load", lambda run: model)
    x = torch.linspace(-4, 4, 8001)[:, None].expand(-1, 2)
    monkeypatch.setattr(clusters, "drawn", lambda run, points: (x, None, None))
    found = unsure(Path("run"))
    assert found["unsure"] == pytest.approx(math.log(9) / 4, abs=1e-3)
    # the mixture of the data: the share of each cluster, whose first coordinate is normal
    near = torch.distributions.Normal(CENTRES[:, 0], Gaussians().std)
    edge = torch.tensor(math.log(9))
    expected = (torch.tensor(TRUE) * (near.cdf(edge) - near.cdf(-edge))).sum()
    assert found["unsure_real"] == pytest.approx(float(expected), abs=0.02)


def test_a_model_that_does_not_cluster_has_no_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    model = GAN(latent_dim=4, image_shape=(1, 16, 16))
    monkeypatch.setattr(clusters, "load", lambda run: model)
    with pytest.raises(InputError, match="expected a model that clusters, got GAN"):
        unsure(Path("run"))
