"""Statistical distances between the elements of a code and the distribution they are drawn from.

If the elements of a prior are independent and identically distributed, a code of L elements is a
sample of size L from a one-dimensional distribution A. A distance between the two measures how
plausible the code is (Cho 2021). The papers replace A by 10,000 draws in each step, as the
functions ``..._to_draws`` do. The closed forms need no draws. They use the integral J(u) of A's
quantile function Q from 0 to u: for each code element z, the area between z and Q over
probabilities from a to b is

    area(z, a, b) = z·(b - a) - (J(b) - J(a)).

All functions are pure, take codes (n, L) of any floating-point type and return (n,), at least in
float32; the cost is a sort of each code. The closed forms compute in float64. Their gradient treats
the probabilities F(z) as constants, which is exact because area(z, a, F(z)) is stationary in its
last argument. First derivatives are therefore exact; second derivatives are not supported.
"""

from lightning_gans.distances.closed import energy, lukaszyk_karmowski, wasserstein
from lightning_gans.distances.draws import (
    energy_to_draws,
    lukaszyk_karmowski_to_draws,
    wasserstein_to_draws,
)
from lightning_gans.distances.normal import bhattacharyya, bhattacharyya_normal

__all__ = [
    "bhattacharyya",
    "bhattacharyya_normal",
    "energy",
    "energy_to_draws",
    "lukaszyk_karmowski",
    "lukaszyk_karmowski_to_draws",
    "wasserstein",
    "wasserstein_to_draws",
]
