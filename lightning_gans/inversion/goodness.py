"""Whether a set of codes looks drawn from its prior."""

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


class Result(NamedTuple):
    """Of one test of one hypothesis.

    Attributes:
        statistic: larger for codes that fit worse.
        pvalue: in [0, 1], the chance of genuine draws to have at least this statistic.
    """

    statistic: float
    pvalue: float


@dataclass(frozen=True)
class PerIndex:
    """A Kolmogorov-Smirnov test of each index of the codes on its own.

    Attributes:
        pvalues: (L,), over the n codes.
        adjusted: (L,), those adjusted by Benjamini & Hochberg: rejecting all below a level keeps
            the expected share of false ones among the rejected below it.
        rejected: how many adjusted ones lie below the level.
    """

    pvalues: Tensor
    adjusted: Tensor
    rejected: int


@dataclass(frozen=True)
class GoodnessOfFit:
    """What tests say of "all elements of all codes were drawn from the prior".

    A p-value near 100 % is no evidence *for* that hypothesis, though it has been read so ("H1
    rejected" above 95 %). Genuine draws give p-values that are uniform on [0, 1], so that p near 1
    time after time means codes which are more regular than chance. One test of genuine draws alone
    says "rejected" with a chance of ``level``, and "over-regular" with the same.

    Attributes:
        statistic: of the Kolmogorov-Smirnov test of all elements together, two-sided.
        pvalue: of the same.
        anderson_darling: A², which looks at the tails more; infinite, with p = 0, if an element is
            outside the prior's support.
        cramer_von_mises: ω², which averages what Kolmogorov-Smirnov takes the maximum of.
        per_index: each index on its own.
        mean: of all elements.
        variance: of all elements.
        n: the number of codes.
        level: at which ``verdict`` and ``per_index.rejected`` decide.
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

    def __str__(self) -> str:
        tests = {
            "Kolmogorov-Smirnov D": Result(self.statistic, self.pvalue),
            "Anderson-Darling A²": self.anderson_darling,
            "Cramér-von Mises ω²": self.cramer_von_mises,
        }
        meaning = {
            "rejected": "rejected: unlike draws of the prior",
            "not rejected": "not rejected: no evidence against draws of the prior",
            "over-regular": "over-regular: closer to the prior than draws would be",
        }
        size = len(self.per_index.pvalues)
        return "\n".join(
            [
                f"{self.n} codes of {size} elements, level {self.level:.3g}: "
                + meaning[self.verdict],
                "; ".join(f"{name} = {d:.4g}, p = {p:.3g}" for name, (d, p) in tests.items()),
                f"indices rejected one by one: {self.per_index.rejected} of {size}",
                f"mean {self.mean:.4g}, variance {self.variance:.4g}",
            ]
        )


def goodness_of_fit(codes: Tensor, prior: Prior, level: float = 0.05) -> GoodnessOfFit:
    """Test whether all elements of codes (n, L) look drawn from the prior.

    Each element is taken through its distribution function, which makes draws uniform on [0, 1].
    If all elements of the prior are distributed alike, the verdict is that of the
    Kolmogorov-Smirnov test of all of them together, as in Cho 2021 (latent regulation). If they
    differ, what one index has too much can hide what another lacks: then "rejected" rests on the
    indices one by one, if any of them is rejected, or on all together below level / (L + 1).

    Args:
        codes: unscaled latents (n, L) with L = ``prior.dim``, at least 8 elements.
        prior: the hypothesis.
        level: chance to reject genuine draws, in (0, ½).

    Raises:
        InputError: for codes of another shape, not finite or too few, or for such a level.
    """
    check_shape(codes, (prior.dim,), "codes")
    if codes.numel() < 8:
        raise InputError(f"a test needs at least 8 elements, got {codes.numel()}; give more codes")
    if not 0 < level < 0.5:
        raise InputError(f"expected a level between 0 and 0.5, got {level}")
    z = codes.detach().double()
    u = prior.cdf(z).cpu().numpy()
    pooled = stats.kstest(u.ravel(), "uniform")
    anderson = anderson_darling(u.ravel())
    if outside(codes, prior):
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
        verdict=judge(float(pooled.pvalue), rejected, prior, level),
    )


def judge(pvalue: float, rejected: int, prior: Prior, level: float) -> Verdict:
    """The verdict on a pooled p-value, and on how many indices are ``rejected``."""
    if pvalue < (level if prior.identical else level / (prior.dim + 1)):
        return "rejected"
    if rejected and not prior.identical:
        return "rejected"
    return "over-regular" if pvalue > 1 - level else "not rejected"


def outside(codes: Tensor, prior: Prior) -> bool:
    """Whether an element of codes (n, L) is impossible under the prior, and not by rounding."""
    slack = 4 * torch.finfo(codes.dtype).eps
    z = codes.detach().double()
    shifted = [prior.log_density(z * factor) for factor in (1 - slack, 1.0, 1 + slack)]
    return bool((torch.stack(shifted).amax(0) == -torch.inf).any())


def anderson_darling(u: Floats) -> Result:
    """A² of a sample (n,) in [0, 1] against the uniform distribution, all of it known beforehand.

    Values that are 0 or 1 only by rounding count as half of float64's spacing below 1.
    """
    n = len(u)
    least = np.finfo(np.float64).eps / 2
    u = np.sort(u).clip(least, 1 - least)
    weights = 2 * np.arange(1, n + 1) - 1
    statistic = float(-n - (weights * (np.log(u) + np.log1p(-u[::-1]))).mean())
    return Result(statistic, exceeds(statistic))


def exceeds(statistic: float, nodes: int = 32, terms: int = 40) -> float:
    """P(A² > statistic) of genuine draws, in the limit of many; 8 are many enough.

    There A² is Σ χ²ᵢ / (i(i+1)) with independent χ² of one degree (Anderson & Darling
    1952). Smirnov's formula for such sums, with the product Π(1 - w/(i(i+1))) =
    -cos(½π√(1+4w)) / (πw) and s = √(1+4w), turns that into

        π^-½ Σₖ (-1)^(k+1) ∫ exp(-a(s²-1)/8) s / √(s²-1) / √cos(πx/2) dx,  s = 4k + x, |x| < 1,

    whose ends suit a Gauss-Chebyshev rule: 12 digits, far in the tail too. (Marsaglia & Marsaglia
    2004 fit polynomials to the same limit, good to 5 decimals.)
    """
    # below, the probability is 1 to the last digit, and the sum would need more terms
    a = max(statistic, 0.03)
    x = np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)
    k = np.arange(1, terms + 1)[:, None]
    s = 4 * k + x
    smooth = np.exp(-a * (s**2 - 1) / 8) * s / np.sqrt(s**2 - 1)
    smooth *= np.sqrt((1 - x**2) / np.cos(np.pi * x / 2))
    total = ((-1.0) ** (k + 1) * smooth).sum() * np.pi / nodes
    return float(np.clip(total / np.sqrt(np.pi), 0, 1))
