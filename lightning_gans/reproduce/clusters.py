"""Measures of models of the four Gaussian clusters (thesis, sections 4.1 and 4.5.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_gans.data import Gaussians
from lightning_gans.errors import InputError
from lightning_gans.models import Clusters, Generates
from lightning_gans.models.base.load import load
from lightning_gans.plots import clusters
from lightning_gans.ranges import PositiveFloat, PositiveInt, ProperFraction
from lightning_gans.rng import stream

TRUE = (0.1, 0.2, 0.3, 0.4)
# a category is in use from this probability on
USED = 0.01
# a category is of one cluster if this share of its points is nearest to it
PURE = 0.9
NEAR = 0.2  # distance to a boundary between clusters
SURE = 0.9  # posterior probability of a category


def assignment(run: Path, points: PositiveInt = 10_000) -> dict[str, float]:
    """How the categories of a model belong to the true clusters.

    Args:
        run: of a model with categories.
        points: how many are generated.

    Returns:
        categories, the number with a probability of at least 1 %; lowest_share, the smallest share
        of a category's points that is in its own cluster; assigned, 1 if there are four categories,
        each with more than 90 % of its points in a cluster of its own, otherwise 0; correct, 1 if
        in addition each probability is within 0.05 of its cluster's; p_error, the largest
        difference of these probabilities, 1 if they are not assigned; entropy of P(C) in nats.
    """
    x, c, p = drawn(run, points)
    cluster = log_posteriors(x).argmax(1)
    used = [k for k in range(len(p)) if p[k] >= USED and (c == k).any()]
    where = {k: int(cluster[c == k].mode().values) for k in used}
    share = {k: float((cluster[c == k] == where[k]).double().mean()) for k in used}
    lowest = min(share.values(), default=0.0)
    assigned = len(used) == len(TRUE) == len(set(where.values())) and lowest > PURE
    error = max((abs(float(p[k]) - TRUE[where[k]]) for k in used), default=1.0)
    return {
        "categories": len(used),
        "lowest_share": lowest,
        "assigned": float(assigned),
        "correct": float(assigned and error < 0.05),
        "p_error": error if assigned else 1.0,
        "entropy": float(-(p.double() * (p.double() + 1e-8).log()).sum()),
    }


def boundary(
    run: Path, points: PositiveInt = 10_000, near: PositiveFloat = NEAR
) -> dict[str, float]:
    """Where the classes of a class-conditional model are.

    Args:
        run: of a model with the labels of the clusters.
        points: how many are generated.
        near: a distance to a boundary.

    Returns:
        near_boundary, the share of points within that distance of a boundary between the true
        clusters; mean_to_centre, the mean over the classes of the distance between the mean of the
        class and the centre of its cluster.
    """
    x, c, p = drawn(run, points)
    centres = torch.tensor(Gaussians().centres)
    means = torch.stack([x[c == k].mean(0) for k in range(len(p))])
    return {
        "near_boundary": float((to_boundary(x) < near).double().mean()),
        "mean_to_centre": float((means.double() - centres).norm(dim=1).mean()),
    }


def between(run: Path, points: PositiveInt = 10_000) -> dict[str, float]:
    """How many points are in none of the clusters, and what their categories tell.

    Args:
        run: of a model that generates points, with or without categories.
        points: how many are generated.

    Returns:
        between, the share of points that are more than three standard deviations from every centre
        (of the data 1.1 %); information, the mutual information in nats of a point's category and
        its nearest cluster, 0 if the categories are not used.
    """
    x, c, p = drawn(run, points)
    data = Gaussians()
    distance = torch.cdist(x.double(), torch.tensor(data.centres).double()).min(1)
    table = torch.zeros(len(p), len(data.centres), dtype=torch.float64)
    table.index_put_((c, distance.indices), torch.tensor(1 / len(x)).double(), accumulate=True)
    independent = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    terms = torch.where(table > 0, table * (table / independent.clamp(min=1e-300)).log(), 0.0)
    return {
        "between": float((distance.values > 3 * data.std).double().mean()),
        "information": float(terms.sum()),
    }


def unsure(
    run: Path, points: PositiveInt = 10_000, sure: ProperFraction = SURE
) -> dict[str, float]:
    """How many points are near the decision boundaries of a model's own classifier.

    Args:
        run: of a model that generates points and clusters them.
        points: how many are generated, and how many of the data are taken.
        sure: a point is near if no category has this posterior probability.

    Returns:
        unsure, the share of generated points that are near a boundary; unsure_real, that of the
        data.
    """
    model = load(run)
    if not isinstance(model, Clusters):
        raise InputError(f"{run}: expected a model that clusters, got {type(model).__name__}")

    def share(x: Tensor) -> float:
        with torch.no_grad():
            return float((model.class_logits(x).softmax(1).amax(1) < sure).double().mean())

    return {"unsure": share(drawn(run, points)[0]), "unsure_real": share(real(points))}


def real_boundary(points: PositiveInt = 100_000, near: PositiveFloat = NEAR) -> dict[str, float]:
    """The share of the data within a distance of a boundary: real.near_boundary."""
    return {"real.near_boundary": float((to_boundary(real(points)) < near).double().mean())}


def real(points: int) -> Tensor:
    """Points of the data, (n, 2)."""
    data = Gaussians(train=points)
    data.prepare_data()
    data.setup("fit")
    return torch.stack([data.train_set[i][0] for i in range(points)])


def draw(runs: Mapping[str, Sequence[Path]], path: Path, columns: PositiveInt = 4) -> None:
    """Points in the colours of their categories, a panel for each training and seed."""
    panels = []
    for name, folders in runs.items():
        for seed, run in enumerate(folders):
            x, c, _ = drawn(run, 3000)
            title = f"{name}, seed {seed}" if len(folders) > 1 else name
            panels.append((title, x, c))
    clusters(panels, path, columns)


def drawn(run: Path, points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Generated points (n, 2), their categories (n,), and P(C); one category if there are none."""
    model = load(run)
    if not isinstance(model, Generates) or model.image_shape != (2,):
        raise InputError(f"{run}: expected a model of points, got {type(model).__name__}")
    random = stream("clusters", 0)
    with torch.no_grad():
        z = model.prior.sample(points, random)
        if model.categories is None:
            return model.decode(z), torch.zeros(points, dtype=torch.int64), torch.ones(1)
        c = model.categories.sample(points, random)  # soft of Elastic InfoGAN, as in training
        return model.decode(z, c), c.argmax(1), model.categories.probabilities.detach()


def log_posteriors(x: Tensor) -> Tensor:
    """Log posterior of each true cluster, (n, 4), up to a constant of each point."""
    data = Gaussians()
    squares = torch.cdist(x.double(), torch.tensor(data.centres).double()).square()
    return torch.tensor(TRUE).double().log() - squares / (2 * data.std**2)


def to_boundary(x: Tensor) -> Tensor:
    """Distance of points to the nearest boundary between true clusters, (n,)."""
    data = Gaussians()
    logs = log_posteriors(x)
    best, own = logs.max(1)
    centres = torch.tensor(data.centres).double()
    slopes = torch.cdist(centres, centres) / data.std**2
    distance = (best[:, None] - logs) / slopes[own]
    distance[torch.arange(len(x)), own] = math.inf
    return distance.min(1).values
