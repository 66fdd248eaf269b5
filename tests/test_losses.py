"""Losses and penalties against known answers and plain formulas."""

from __future__ import annotations

import math

import pytest
import torch

from lightning_gans.losses import (
    Hinge,
    LeastSquares,
    NonSaturating,
    Wasserstein,
    contrastive_loss,
    gradient_penalty,
    interpolate,
)
from lightning_gans.rng import stream


def test_known_answers() -> None:
    a = torch.tensor([0.0, 2.0])
    log_2, far = math.log(2), math.log1p(math.exp(-2.0))
    torch.testing.assert_close(NonSaturating().real(a), torch.tensor([log_2, far]))
    torch.testing.assert_close(NonSaturating().fake(a), torch.tensor([log_2, far + 2]))
    torch.testing.assert_close(NonSaturating().generator(a), torch.tensor([log_2, far]))
    assert LeastSquares().real(a).tolist() == [1, 1]
    assert LeastSquares().fake(a).tolist() == [0, 4]
    assert LeastSquares().generator(a).tolist() == [1, 1]
    assert Hinge().real(a).tolist() == [1, 0]
    assert Hinge().fake(a).tolist() == [1, 3]
    assert Hinge().generator(a).tolist() == [0, -2]
    assert Wasserstein().real(a).tolist() == [0, -2]
    assert Wasserstein().fake(a).tolist() == [0, 2]
    assert Wasserstein().generator(a).tolist() == [0, -2]


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_contrastive_loss_is_equation_1_of_simclr(temperature: float) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(5, 3).double(), torch.randn(5, 3).double()
    rows = [*x, *y]

    def similarity(i: int, j: int) -> float:
        cosine = rows[i] @ rows[j] / (rows[i].norm() * rows[j].norm())
        return math.exp(float(cosine) / temperature)

    expected = []
    for i in range(10):
        partner = i + 5 if i < 5 else i - 5
        others = sum(similarity(i, k) for k in range(10) if k != i)
        expected.append(-math.log(similarity(i, partner) / others))
    found = contrastive_loss(x, y, temperature)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_contrastive_loss_is_least_where_pairs_agree_and_all_else_is_opposite() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    same = contrastive_loss(x, 3 * x)  # lengths do not count
    torch.testing.assert_close(same, torch.full((4,), math.log(1 + 2 * math.exp(-2.0))))
    assert (contrastive_loss(x, x.flip(0)) > same).all()
    # nothing else to be told from
    assert contrastive_loss(x[:1], x[1:]).tolist() == [0, 0]


def test_penalty_of_a_quadratic() -> None:
    """score = ½ w·x² has gradient w·x; its penalty is known."""
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    score = 0.5 * w * x.square().sum((1, 2))
    norms = 1.7 * x.detach().flatten(1).norm(dim=1)
    r1 = gradient_penalty(score, x)
    torch.testing.assert_close(r1.detach(), norms.square().mean())
    (slope,) = torch.autograd.grad(r1, w, retain_graph=True)
    torch.testing.assert_close(slope, 2 * norms.square().mean() / 1.7)
    centred = gradient_penalty(score, x, center=1.0)
    torch.testing.assert_close(centred.detach(), (norms - 1).square().mean())


def test_penalty_where_the_gradient_vanishes_has_a_finite_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    w = torch.ones(3, requires_grad=True)
    for center in (0.0, 1.0):
        score = (w * x.square()).sum(1)
        (slope,) = torch.autograd.grad(gradient_penalty(score, x, center), w)
        assert slope.isfinite().all()


def test_penalty_asks_for_a_gradient() -> None:
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="requires_grad"):
        gradient_penalty(x.sum(1), x)


def test_interpolates_lie_between() -> None:
    x, y = torch.zeros(500, 2, 3), torch.ones(500, 2, 3)
    between = interpolate(x, y, torch.Generator().manual_seed(0))
    assert between.requires_grad
    share = between.detach().flatten(1)
    assert torch.equal(share, share[:, :1].expand(-1, 6))  # one number a row
    assert 0 <= share.min() < 0.05
    assert 0.95 < share.max() <= 1


def test_streams_differ_by_seed_rank_and_purpose() -> None:
    def draw(purpose: str, seed: int, rank: int) -> float:
        return float(torch.rand(1, generator=stream(purpose, seed, rank)))

    draws = {draw(p, s, r) for p in ("training", "evaluation") for s in (0, 1) for r in (0, 1)}
    assert len(draws) == 8
    assert draw("training", 3, 1) == draw("training", 3, 1)
