"""The algorithms: one final class a file, on one abstract base."""

from lightning_gans.models.base import AdversarialModule, NonFiniteLoss
from lightning_gans.models.dlsgan import DLSGAN
from lightning_gans.models.gan import GAN

__all__ = ["DLSGAN", "GAN", "AdversarialModule", "NonFiniteLoss"]
