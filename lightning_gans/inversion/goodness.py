"""Goodness-of-fit tests: whether a set of codes could be draws of its prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.priors import Prior
from lightning_gans.validation import check_shape

Verdict = Literal["rejected", "not rejected", "over-regular"]
Floats = npt.NDArray[np.float64]
# fewer elements are not tested
LEAST = 8
# with fewer elements, a variance of 1.3 instead of 1 is mostly not found
FEW = 500


class Result(NamedTuple):
    """The result of one test.

    Attributes:
        statistic: larger for a worse fit.
        pvalue: in [0, 1], the probability that genuine draws have at least this statistic.
    """

    statistic: float
    pvalue: float


class Objection(NamedTuple):
    """A test that rejects where the verdict does not.

    Attributes:
        test: its name, or "index" for the tests of the single indices.
        pvalue: of that test, below the level; of the single indices, the least adjusted one.
        rejected: the number of tests of that name that reject.
    """

    test: Literal["Anderson-Darling", "Cramér-von Mises", "index"]
    pvalue: float
    rejected: int = 1

    def __str__(self) -> str:
        if self.test != "index":
            return self.test
        return (
            "1 index on its own" if self.rejected == 1 else f"{self.rejected} indices on their own"
        )


@dataclass(frozen=True)
class PerIndex:
    """A Kolmogorov-Smirnov test of each index of the codes.

    Attributes:
        pvalues: (L,), over the n codes.
        adjusted: (L,), p-values adjusted by Benjamini & Hochberg: rejecting those below a level
            keeps the expected share of false rejections below that level.
        rejected: number of adjusted p-values below the level.
    """

    pvalues: Tensor
    adjusted: Tensor
    rejected: int


@dataclass(frozen=True)
class GoodnessOfFit:
    """Tests of the hypothesis that all elements of all codes were drawn from the prior.

    A p-value near 100 % is not evidence *for* the hypothesis, although it has been read that way
    ("H1 rejected" above 95 %). For genuine draws p-values are uniform on [0, 1], so p-values that
    are repeatedly near 1 mean codes that are more regular than chance. For genuine draws a single
    test gives "rejected" with probability ``level``, and "over-regular" with the same probability.

    Attributes:
        statistic: of the two-sided Kolmogorov-Smirnov test of all elements pooled.
        pvalue: of that test.
        anderson_darling: A², more sensitive in the tails; infinite, with p = 0, if an element lies
            outside the prior's support.
        cramer_von_mises: ω², the mean squared distance where Kolmogorov-Smirnov takes the maximum.
        per_index: tests of the single indices.
        mean: of all elements.
        variance: of all elements.
        n: the number of codes.
        level: significance level of ``verdict`` and ``per_index.rejected``.
        verdict: "rejected" for p < level, "over-regular" for p > 1 - level, else "not rejected".
    """

    statistic: float
    pvalue: float
    anderson_darling: Result
    cramer_von_mises: Result
    per_index: PerIndex
    mean: float
    variance: float
    n: int
    level: float
    verdict: Verdict

    @property
    def objections(self) -> list[Objection]:
        """The tests that reject although the verdict does not; empty if there are none.

        The pooled Kolmogorov-Smirnov test hardly sees a few elements that are far out.
        """
        if self.verdict == "rejected":
            return []
        tests = [
            Objection("Anderson-Darling", self.anderson_darling.pvalue),
            Objection("Cramér-von Mises", self.cramer_von_mises.pvalue),
        ]
        found = [test for test in tests if test.pvalue < self.level]
        if self.per_index.rejected:
            least = float(self.per_index.adjusted.min())
            found.append(Objection("index", least, self.per_index.rejected))
        return found

    def __str__(self) -> str:
        tests = {
            "Kolmogorov-Smirnov D": Result(self.statistic, self.pvalue),
            "Anderson-Darling A²": self.anderson_darling,
            "Cramér-von Mises ω²": self.cramer_von_mises,
        }
        meaning = {
            "rejected": "rejected: the codes do not look like draws of the prior",
            "not rejected": "not rejected: the codes could be draws of the prior",
            "over-regular": "over-regular: the codes are closer to the prior than draws would be",
        }
        size = len(self.per_index.pvalues)
        told = meaning[self.verdict]
        if self.objections:
            told = (
                f"{self.verdict} by the Kolmogorov-Smirnov test of all elements, but rejected by "
                f"{' and '.join(map(str, self.objections))}"
            )
        elif self.verdict == "not rejected" and self.n * size < FEW:
            told += "; of so few elements, only a large difference shows"
        return "\n".join(
            [
                f"{self.n} {'code' if self.n == 1 else 'codes'} of {size} elements, level "
                f"{self.level:.3g}: {told}",
                "; ".join(f"{name} = {d:.4g}, p = {p:.3g}" for name, (d, p) in tests.items()),
                f"indices rejected individually: {self.per_index.rejected} of {size}",
                f"mean {self.mean:.4g}, variance {self.variance:.4g}",
            ]
        )


def goodness_of_fit(codes: Tensor, prior: Prior, level: float = 0.05) -> GoodnessOfFit:
    """Test whether the elements of codes (n, L) could be draws of the prior.

    Each element is mapped through its cumulative distribution function, under which draws are
    uniform on [0, 1]. If the elements of the prior are identically distributed, the verdict is
    that of the Kolmogorov-Smirnov test of all elements pooled (Cho 2021). If they are not,
    deviations of different indices can cancel in the pool: the verdict is then "rejected" if any
    single index is rejected, or if the pooled p-value is below level / (L + 1).

    Args:
        codes: unscaled latents (n, L) with L = ``prior.dim``, at least ``LEAST`` elements.
        prior: the hypothesis.
        level: probability of rejecting genuine draws, in (0, ½).

    Raises:
        InputError: for codes of another shape, non-finite or too few, or a level out of range.
    """
    check_shape(codes, (prior.dim,), "codes")
    if codes.numel() < LEAST:
        raise InputError(
            f"a test needs at least {LEAST} elements, got {codes.numel()}; give more codes"
        )
    if not 0 < level < 0.5:
        raise InputError(f"expected a level between 0 and 0.5, got {level}")
    z = codes.detach().double()
    u = prior.cdf(z).cpu().numpy()
    pooled = stats.kstest(u.ravel(), "uniform")
    anderson = anderson_darling(u.ravel())
    if outside_support(codes, prior):
        anderson = Result(np.inf, 0.0)
    cramer = stats.cramervonmises(u.ravel(), "uniform")
    single = np.array([stats.kstest(column, "uniform").pvalue for column in u.T])
    adjusted = stats.false_discovery_control(single)
    rejected = int((adjusted < level).sum())
    return GoodnessOfFit(
        statistic=float(pooled.statistic),
        pvalue=float(pooled.pvalue),
        anderson_darling=anderson,
        cramer_von_mises=Result(float(cramer.statistic), float(cramer.pvalue)),
        per_index=PerIndex(torch.from_numpy(single), torch.from_numpy(adjusted), rejected),
        mean=float(z.mean()),
        variance=float(z.var(correction=0)),
        n=len(codes),
        level=level,
        verdict=verdict_of(float(pooled.pvalue), rejected, prior, level),
    )


def verdict_of(pvalue: float, rejected: int, prior: Prior, level: float) -> Verdict:
    """The verdict from a pooled p-value and the number of ``rejected`` indices."""
    if pvalue < (level if prior.identical else level / (prior.dim + 1)):
        return "rejected"
    if rejected and not prior.identical:
        return "rejected"
    return "over-regular" if pvalue > 1 - level else "not rejected"


def outside_support(codes: Tensor, prior: Prior) -> bool:
    """Whether an element of codes (n, L) lies outside the prior's support by more than rounding."""
    slack = 4 * torch.finfo(codes.dtype).eps
    z = codes.detach().double()
    shifted = [prior.log_density(z * factor) for factor in (1 - slack, 1.0, 1 + slack)]
    return bool((torch.stack(shifted).amax(0) == -torch.inf).any())


def anderson_darling(u: Floats) -> Result:
    """A² of a sample (n,) in [0, 1] against the uniform distribution.

    Values of 0 and 1 are replaced by values half of float64's spacing away.
    """
    n = len(u)
    least = np.finfo(np.float64).eps / 2
    u = np.sort(u).clip(least, 1 - least)
    weights = 2 * np.arange(1, n + 1) - 1
    statistic = float(-n - (weights * (np.log(u) + np.log1p(-u[::-1]))).mean())
    return Result(statistic, anderson_darling_pvalue(statistic))


def anderson_darling_pvalue(statistic: float, nodes: int = 32, terms: int = 40) -> float:
    """P(A² > statistic) for genuine draws, in the limit of large samples; 8 are enough.

    In the limit A² is Σ χ²ᵢ / (i(i+1)) with independent χ² of one degree (Anderson & Darling
    1952). Smirnov's formula for such sums, with the product Π(1 - w/(i(i+1))) =
    -cos(½π√(1+4w)) / (πw) and s = √(1+4w), turns that into

        π^-½ Σₖ (-1)^(k+1) ∫ exp(-a(s²-1)/8) s / √(s²-1) / √cos(πx/2) dx,  s = 4k + x, |x| < 1,

    whose endpoint singularities suit a Gauss-Chebyshev rule: 12 digits, also far in the tail.
    (Marsaglia & Marsaglia 2004 fit polynomials to the same limit, to 5 decimals.)
    """
    # below 0.03 the probability is 1 to the last digit, and the sum would need more terms
    a = max(statistic, 0.03)
    x = np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)
    k = np.arange(1, terms + 1)[:, None]
    s = 4 * k + x
    smooth = np.exp(-a * (s**2 - 1) / 8) * s / np.sqrt(s**2 - 1)
    smooth *= np.sqrt((1 - x**2) / np.cos(np.pi * x / 2))
    total = ((-1.0) ** (k + 1) * smooth).sum() * np.pi / nodes
    return float(np.clip(total / np.sqrt(np.pi), 0, 1))
