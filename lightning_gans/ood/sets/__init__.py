"""Data to measure detection on: ID images, and sets of OOD images paired with them."""

from lightning_gans.ood.sets.base import OODData
from lightning_gans.ood.sets.corrupted import Corrupted
from lightning_gans.ood.sets.digits import MNISTOOD
from lightning_gans.ood.sets.faces import CelebAOOD
from lightning_gans.ood.sets.letters import FONTS, LETTERS, Letters

__all__ = [
    "FONTS",
    "LETTERS",
    "MNISTOOD",
    "CelebAOOD",
    "Corrupted",
    "Letters",
    "OODData",
]
