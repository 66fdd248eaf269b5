"""Statistical distances between the elements of a code and the distribution they are drawn from.

If a prior's elements are independent and identically distributed, then a code of L elements is a
sample of L from one one-dimensional distribution A, and a distance between the two says how
plausible the code is (Cho 2021, statistical distance latent regulation). The papers put 10,000
draws of A in its place, anew in each step; they are in the functions ``..._to_draws``. The others
need none. They use A's quantile function Q through its integral J(u) from 0 to u: for each code
z, the area between z and Q over probabilities from a to b is

    area(z, a, b) = z·(b - a) - (J(b) - J(a)).

All functions are pure, take codes (n, L) of any floating type and return (n,), in float32 at
least; they cost a sort of each code. The closed forms compute in float64. Their gradient treats
probabilities F(z) as constants, which is exact: area(z, a, F(z)) is stationary in its last
argument. So first derivatives are exact, and second ones are not meant.
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
