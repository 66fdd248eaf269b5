"""The corruptions of MNIST-C (Mu & Gilmer 2019), and mixtures of two images.

:func:`corrupt` corrupts images in one of ten ways, which makes them far OOD, and
:func:`corrupt_bytes` those of 8 bits as MNIST-C's files are made; :func:`mix` makes near OOD
images, by interpolation between ID and OOD images.
"""

from lightning_gans.ood.corruptions.corrupting import NAMES, corrupt, corrupt_bytes, mix

__all__ = ["NAMES", "corrupt", "corrupt_bytes", "mix"]
