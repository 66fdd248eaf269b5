"""Corruptions of images after MNIST-C (Mu & Gilmer 2019), and mixtures of two images.

:func:`corrupt` makes images that are strange in one of ten ways, far from those it is given;
:func:`mix` brings strange images as near to ordinary ones as one likes.
"""

from lightning_gans.ood.corruptions.corrupting import NAMES, corrupt, mix

__all__ = ["NAMES", "corrupt", "mix"]
