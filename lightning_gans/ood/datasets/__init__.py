"""Data for measuring detection: ID images, and sets of OOD images paired with them."""

from lightning_gans.ood.datasets.celeba import CelebAOOD
from lightning_gans.ood.datasets.corrupted import Corrupted
from lightning_gans.ood.datasets.folders import FolderSets, NamedFolder, parse_folders
from lightning_gans.ood.datasets.letters import FONTS, LETTERS, Letters
from lightning_gans.ood.datasets.mnist import MNISTOOD
from lightning_gans.ood.datasets.ood_data import OODData

__all__ = [
    "FONTS",
    "LETTERS",
    "MNISTOOD",
    "CelebAOOD",
    "Corrupted",
    "FolderSets",
    "Letters",
    "NamedFolder",
    "OODData",
    "parse_folders",
]
