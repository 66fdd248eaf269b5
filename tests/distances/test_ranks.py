"""Sorting by numpy is sorting by torch."""

from __future__ import annotations

import pytest
import torch

from lightning_gans.distances.ranks import argsort_rows, sort_rows


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
)
def test_rows_are_sorted_as_by_torch(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    # no value twice: the order of equal ones is free
    z = torch.stack([torch.randperm(200, generator=generator) for _ in range(30)]).to(dtype) - 99
    z[3, 7], z[4, 8] = torch.inf, -torch.inf
    for rows in (z, z.T.contiguous().T, z[:, ::2], z.view(1, -1)[:, :200]):
        assert torch.equal(argsort_rows(rows), rows.argsort(1))
        assert torch.equal(sort_rows(rows), rows.sort(1).values)


def test_not_a_number_comes_last_and_is_kept() -> None:
    found = sort_rows(torch.tensor([[2.0, torch.nan, -1.0, torch.inf]]))
    assert found[0, :3].tolist() == [-1, 2, torch.inf]
    assert found[0, 3].isnan()


def test_each_element_gets_the_gradient_of_its_rank() -> None:
    z = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 0.0, -2.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad((sort_rows(z) * torch.tensor([1.0, 10.0, 100.0])).sum(), z)
    assert gradient.tolist() == [[100, 1, 10], [10, 100, 1]]
