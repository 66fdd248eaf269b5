"""How much of an image its category decides (thesis, section 4.5.4)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from lightning_gans.errors import InputError
from lightning_gans.models import Generates
from lightning_gans.models.base.load import load
from lightning_gans.ranges import Range, checked
from lightning_gans.rng import stream

# of fewer there is no variance
Several = Annotated[int, Range(2)]


@checked
def decided(run: Path, categories: Several = 32, latents: Several = 32) -> dict[str, float]:
    """The variance of pixels within a category and between categories.

    As in the thesis's figures, each category is drawn with the same continuous latents.

    Args:
        run: of a model with categories.
        categories: how many are drawn from P(C); a combination, where there are several labels.
        latents: how many are drawn from the prior.

    Returns:
        within_category, the variance of a pixel in [-1, 1] over images of one category, the mean
        over pixels and categories; by_category, the share of the variance of a pixel over all
        images that is between categories: 0 if they have no effect, 1 if nothing else has one,
        NaN if all images are equal.
    """
    model = load(run)
    if not isinstance(model, Generates) or model.categories is None:
        raise InputError(f"{run}: expected a model with categories, got {type(model).__name__}")
    random = stream("conditions", 0)
    with torch.no_grad():
        z = model.prior.sample(latents, random)
        drawn = model.categories.sample(categories, random)
        x = torch.stack([model.decode(z, c.expand(latents, -1)).clamp(-1, 1) for c in drawn])
    between, within = components(x.flatten(2))
    total = between + within
    share = between / total if total > 0 else math.nan
    return {"within_category": within, "by_category": share}


def components(x: Tensor) -> tuple[float, float]:
    """Components of the variance in a crossed design of two random factors, rows and columns.

    Unbiased but for the limit at 0: the means of few columns differ by their interaction too,
    which is subtracted.

    Args:
        x: (rows, columns, elements).

    Returns:
        The variance between rows, at least 0, and that within a row, means over the elements.
    """
    x = x.double()
    rows, columns = x.shape[:2]
    row_means, column_means, mean = x.mean(1), x.mean(0), x.mean((0, 1))
    ss_within = (x - row_means[:, None]).square().sum((0, 1)).mean()
    ss_columns = rows * (column_means - mean).square().sum(0).mean()
    interaction = (ss_within - ss_columns) / ((rows - 1) * (columns - 1))
    of_means = row_means.var(0).mean()
    within = ss_within / (rows * (columns - 1))
    return float((of_means - interaction / columns).clamp(min=0)), float(within)
