"""Latent random variables, from which the input of a generator is drawn.

A continuous prior has ``dim`` independent elements that usually share one one-dimensional
distribution; a categorical one draws a class for each of one or several labels.
"""

from lightning_gans.priors.categorical import (
    Categorical,
    Categories,
    CategoriesFactory,
    GumbelSoftmax,
)
from lightning_gans.priors.fixed import HalfUniformHalfNormal, Normal, Uniform
from lightning_gans.priors.independent import Independent, normal_element
from lightning_gans.priors.prior import Prior, PriorFactory
from lightning_gans.priors.traced import DynamicScale, FixedScale, Traced
from lightning_gans.priors.truncation import truncate

__all__ = [
    "Categorical",
    "Categories",
    "CategoriesFactory",
    "DynamicScale",
    "FixedScale",
    "GumbelSoftmax",
    "HalfUniformHalfNormal",
    "Independent",
    "Normal",
    "Prior",
    "PriorFactory",
    "Traced",
    "Uniform",
    "normal_element",
    "truncate",
]
