"""LightningDataModules: every batch is (x, y), images float32 in [-1, 1], labels int64."""

from lightning_gans.data.celeba import CelebA
from lightning_gans.data.data_module import DataMissing, DataModule
from lightning_gans.data.folder import Folder
from lightning_gans.data.gaussians import Gaussians
from lightning_gans.data.mnist import KMNIST, MNIST, FashionMNIST
from lightning_gans.data.mnist5k import MNIST5k
from lightning_gans.data.strokes import MNISTStrokes

__all__ = [
    "KMNIST",
    "MNIST",
    "CelebA",
    "DataMissing",
    "DataModule",
    "FashionMNIST",
    "Folder",
    "Gaussians",
    "MNIST5k",
    "MNISTStrokes",
]
