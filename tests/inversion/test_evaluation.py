"""Measures of recoveries and comparisons with known codes: by hand, by scipy and in plain loops."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from lightning_gans.errors import InputError
from lightning_gans.inversion import known_codes
from lightning_gans.inversion.constraints import (
    HardCutoff,
    LogisticCutoff,
    TruncatedNormalCutoff,
)
from lightning_gans.inversion.descent import AllRestartsDiverged, recover
from lightning_gans.inversion.evaluation import Measures, as_dict, markdown, measure
from lightning_gans.inversion.tables import aligned
from lightning_gans.priors import Normal, Uniform
from lightning_gans.rng import stream
from tests.support.recoveries import recovery_of


def cells(line: str) -> str:
    """The cells of a Markdown table's line, joined by strokes."""
    return "/".join(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def draws(n: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dim, generator=stream("draws", seed))


def test_losses_are_sums_over_an_image_and_means_over_images() -> None:
    x = torch.tensor([[0.5, -0.5], [1.0, -1.0], [0.0, 0.25]]).view(3, 1, 1, 2)
    y = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    measures = measure(recovery_of(draws(3, 4), y, torch.tensor([0, 2, 1])), x, Normal(4))
    assert measures.l1 == pytest.approx((1.0 + 2.0 + 0.25) / 3)
    assert measures.l2 == pytest.approx((0.5 + 4.0 + 0.0625) / 3)
    assert (measures.n, measures.diverged, measures.accuracy) == (3, 3, None)
    assert measures.seconds_per_image == 2.0


def test_codes_are_measured_as_by_numpy_and_scipy() -> None:
    codes = 0.97 * draws(40, 25) + 0.05
    measures = measure(
        recovery_of(codes, torch.zeros(40, 1, 2, 2)), torch.zeros(40, 1, 2, 2), Normal(25)
    )
    elements = codes.double().numpy().ravel()
    assert measures.mean == pytest.approx(elements.mean(), abs=1e-9)
    assert measures.variance == pytest.approx(np.var(elements), rel=2e-3)
    assert measures.pvalue == pytest.approx(stats.kstest(elements, "norm").pvalue, rel=1e-5)


def test_the_prior_is_the_one_that_is_given() -> None:
    codes = torch.rand(60, 20, generator=stream("uniform", 3)) * 2 - 1
    images = torch.zeros(60, 1, 1, 1)
    assert measure(recovery_of(codes, images), images, Uniform(20)).verdict == "not rejected"
    assert measure(recovery_of(codes, images), images, Normal(20)).verdict == "rejected"


def test_verdicts() -> None:
    images = torch.zeros(100, 1, 1, 1)
    even = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000).view(100, 20)
    for codes, verdict in (
        (draws(100, 20, 6), "not rejected"),
        (0.8 * draws(100, 20, 6), "rejected"),
        (even, "over-regular"),
    ):
        measures = measure(recovery_of(codes, images), images, Normal(20))
        assert measures.verdict == verdict
        assert measures.pvalue is not None
        assert (measures.pvalue < 0.05) == (verdict == "rejected")


def test_accuracy_is_of_reconstructions_by_labels_of_targets_in_batches() -> None:
    n = 1203
    truth = torch.arange(n) % 3
    called = truth.clone()
    called[:401] = (called[:401] + 1) % 3
    sizes: list[int] = []

    def classify(y: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        sizes.append(len(y))
        return (y[:, 0, 0, 0] + 1).round().long()

    y, x = ((values.float() - 1).view(n, 1, 1, 1) for values in (called, truth))
    codes = draws(n, 2)
    measures = measure(recovery_of(codes, y), x, Normal(2), truth, classify)
    assert measures.accuracy == pytest.approx(802 / n)
    assert sum(sizes) == n
    assert max(sizes) <= 500


def test_what_does_not_fit_is_refused() -> None:
    y = torch.zeros(4, 1, 2, 2)
    recovery, prior, labels = (
        recovery_of(draws(4, 8), y),
        Normal(8),
        torch.zeros(4, dtype=torch.long),
    )

    def classify(images: Tensor) -> Tensor:
        return torch.zeros(len(images), dtype=torch.long)

    def scores(images: Tensor) -> Tensor:
        return torch.zeros(len(images), 10)

    for x in (y[:3], torch.zeros(4, 1, 2, 3), y + 1.5, y + torch.nan):
        with pytest.raises(InputError):
            measure(recovery, x, prior)
    with pytest.raises(InputError, match="at least one"):
        measure(recovery_of(draws(4, 8)[:0], y[:0]), y[:0], prior)
    with pytest.raises(InputError, match="both labels and classify"):
        measure(recovery, y, prior, labels)
    with pytest.raises(InputError, match="both labels and classify"):
        measure(recovery, y, prior, classify=classify)
    with pytest.raises(InputError, match="labels as integers"):
        measure(recovery, y, prior, labels[:3], classify)
    with pytest.raises(InputError, match="argmax"):
        measure(recovery, y, prior, labels, scores)
    with pytest.raises(InputError):
        measure(recovery, y, Normal(9))


def test_a_table_row_by_hand() -> None:
    measures = Measures(
        1000,
        -0.0004,
        1.3321,
        0.00049,
        "rejected",
        18.5961,
        7.948,
        0.99249,
        0.51234,
        2,
        21.349,
        0.81251,
        0.1,
    )
    without = Measures(7, 0.0, 1.0, 0.9999, "over-regular", 1.0, 0.5, None, 12.0, 0)
    lines = markdown({"none": measures, "W₁ | λ 0.1": without}).splitlines()
    assert cells(lines[2]) == (
        "none/1000/0.000/1.332/0.0 %/rejected/18.596/7.948/21.35/0.813/0.100/99.2 %/0.51/2"
    )
    assert cells(lines[3]) == (
        "W₁ \\| λ 0.1/7/0.000/1.000/100.0 %/over-regular/1.000/0.500/-/-/-/-/12/0"
    )
    assert len(cells(lines[0]).split("/")) == 15  # "s / image" counts as two
    assert len({len(line) for line in lines}) == 1
    read = json.loads(json.dumps(as_dict(without)))
    assert read["accuracy"] is None
    assert Measures(**read) == without


def test_tables_are_aligned() -> None:
    assert aligned(("name", "x"), [("a", "1.25"), ("longer", "10")]) == (
        "| name   |    x |\n| ------ | ---: |\n| a      | 1.25 |\n| longer |   10 |"
    )


def test_errors_of_codes_in_a_plain_loop() -> None:
    codes, truth = draws(5, 7, 1), draws(5, 7, 2)
    expected = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(z, t, strict=True)) / 7
        for z, t in zip(codes, truth, strict=True)
    ]
    assert known_codes.errors(codes, truth).tolist() == pytest.approx(expected)
    with pytest.raises(InputError):
        known_codes.errors(codes, truth[:1])
    with pytest.raises(InputError):
        known_codes.errors(codes[0], truth[0])


def test_a_guess_of_zero_errs_by_one_and_a_draw_by_two() -> None:
    truth = draws(4000, 50)
    assert known_codes.errors(0 * truth, truth).mean() == pytest.approx(1, abs=0.01)
    assert known_codes.errors(draws(4000, 50, 1), truth).mean() == pytest.approx(2, abs=0.02)


def test_comparison_by_hand() -> None:
    #        0: win by >2  1: win, close  2: loss by 2  3: loss, close  4: both 0  5: tie
    base = torch.tensor([0.9, 0.5, 0.001, 0.50, 0.0, 3.0])
    other = torch.tensor([5e-5, 0.4, 0.002, 0.51, 0.0, 3.0])
    rows = known_codes.compare({"new": other, "disabled": base}, "disabled")
    assert list(rows) == ["new", "disabled"]
    new, disabled = rows["new"], rows["disabled"]
    assert new.n == 6
    assert new.below == pytest.approx((2 / 6, 2 / 6, 3 / 6, 3 / 6, 5 / 6))
    assert new.wins == pytest.approx(2 / 6)
    assert new.significant_wins == pytest.approx(1 / 2)
    assert new.mean == pytest.approx((5e-5 + 0.4 + 0.002 + 0.51 + 3) / 6)
    assert math.isnan(disabled.wins)
    assert math.isnan(disabled.significant_wins)
    assert disabled.below[0] == pytest.approx(1 / 6)
    line = known_codes.markdown(rows).splitlines()[2]
    assert cells(line) == "new/33.3 %/33.3 %/50.0 %/50.0 %/83.3 %/33.3 %/50.0 %/0.652"
    assert known_codes.markdown(rows).splitlines()[3].count(" - ") == 2


def test_comparison_agrees_with_plain_loops() -> None:
    random = stream("errors", 5)
    base, other = (10 ** (3 * torch.rand(200, generator=random) - 2) for _ in range(2))
    row = known_codes.compare({"a": base, "b": other}, "a")["b"]
    ratios = [float(b) / float(a) for a, b in zip(base, other, strict=True)]
    far = [ratio for ratio in ratios if ratio <= 0.5 or ratio >= 2]
    assert row.wins == pytest.approx(sum(ratio < 1 for ratio in ratios) / 200)
    assert row.significant_wins == pytest.approx(sum(ratio < 1 for ratio in far) / len(far))


def test_without_significant_differences_there_is_no_share_of_them() -> None:
    base = torch.tensor([0.5, 0.0])
    row = known_codes.compare({"a": base, "b": 1.5 * base}, "a")["b"]
    assert math.isnan(row.significant_wins)
    assert row.wins == 0


@pytest.mark.parametrize(
    ("errors", "baseline"),
    [
        ({"a": torch.ones(3)}, "b"),
        ({"a": torch.ones(3), "b": torch.ones(2)}, "a"),
        ({"a": torch.ones(3), "b": torch.tensor([1.0, math.nan, 1.0])}, "a"),
        ({"a": torch.ones(3), "b": -torch.ones(3)}, "a"),
        ({"a": torch.ones(0)}, "a"),
        ({"a": torch.ones(3, 1)}, "a"),
    ],
)
def test_errors_that_cannot_be_compared(errors: Mapping[str, Tensor], baseline: str) -> None:
    with pytest.raises(InputError):
        known_codes.compare(errors, baseline)


def test_the_published_criteria_are_those_of_the_table() -> None:
    # typed from the paper's Table 1
    table = """disabled;hard(2.5);hard(3);hard(3.5);trunc_norm(2.5);trunc_norm(2.75);trunc_norm(3);
    trunc_norm(3.25);trunc_norm(3.75);logistic(2, 2);logistic(3, 2);logistic(4, 2);logistic(2, 2.5);
    logistic(3, 2.5);logistic(4, 2.5);logistic(2, 3);logistic(3, 3);logistic(4, 3)"""
    criteria = known_codes.published_criteria()
    assert list(criteria) == [name.strip() for name in table.split(";")]
    for name, criterion in criteria.items():
        numbers = [float(number) for number in name.partition("(")[2][:-1].split(",") if number]
        if criterion is None:
            assert name == "disabled"
        elif isinstance(criterion, LogisticCutoff):
            assert name.startswith("logistic")
            assert [criterion.steepness, criterion.midpoint] == numbers
            assert criterion.per_step
        else:
            kind = HardCutoff if name.startswith("hard") else TruncatedNormalCutoff
            assert isinstance(criterion, kind)
            assert [criterion.cutoff] == numbers
            assert criterion.per_step


class Turned(nn.Module):
    """An orthogonal map of 6 elements to points: its codes are found by any descent."""

    def __init__(self) -> None:
        super().__init__()
        turn: Tensor = torch.linalg.qr(torch.randn(6, 6, generator=stream("turn", 1)))[0]
        self.turn = nn.Parameter(turn)

    def forward(self, z: Tensor) -> Tensor:
        # the logarithm of a negative number: codes with a long element diverge
        return z @ self.turn + 0 * (9 - z.square().amax(1, keepdim=True)).log()


def test_the_whole_way_from_draws_to_the_table() -> None:
    generator, truth = Turned(), draws(12, 6).clamp(-2, 2)
    x = generator(truth).detach()
    errors = {}
    for name in ("disabled", "hard(2.5)"):
        criterion = known_codes.published_criteria()[name]
        recovery = recover(
            generator, x, Normal(6), constraint=criterion, steps=400, restarts=2, lr=0.02
        )
        errors[name] = known_codes.errors(recovery.codes, truth)
        measures = measure(recovery, x, Normal(6))
        assert measures.l1 == pytest.approx(6 * float(recovery.reconstruction.mean()), rel=1e-4)
        assert measures.variance == pytest.approx(float(truth.var(correction=0)), rel=0.02)
    row = known_codes.compare(errors, "disabled")["hard(2.5)"]
    assert row.below[2:] == (1, 1, 1)
    assert row.mean < 1e-3


def test_diverged_images_leave_out_their_targets() -> None:
    generator, x = Turned(), Turned()(draws(5, 6).clamp(-2, 2)).detach()
    x[3] = 20.0  # only codes beyond 3 come near
    with pytest.raises(AllRestartsDiverged) as diverged:
        recover(generator, x, Normal(6), steps=60, restarts=1, lr=0.3)
    recovery = diverged.value.recovery
    assert recovery is not None
    assert 3 in diverged.value.indices
    with pytest.raises(InputError, match=r"x\[recovery.indices\]"):
        measure(recovery, x, Normal(6))
    assert measure(recovery, x[recovery.indices], Normal(6)).n == len(recovery) < 5
