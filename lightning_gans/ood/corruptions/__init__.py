"""Corruptions of images after MNIST-C (Mu & Gilmer 2019), and mixtures of two images.

:func:`corrupt` corrupts images in one of ten ways, which makes them far OOD; :func:`mix` makes near
OOD images, by interpolation between ID and OOD images.
"""

from lightning_gans.ood.corruptions.corrupting import NAMES, corrupt, mix

__all__ = ["NAMES", "corrupt", "mix"]
