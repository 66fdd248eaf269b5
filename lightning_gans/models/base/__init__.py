"""What the algorithms are written on: players that take turns, capabilities, checkpoints."""

from lightning_gans.models.base.adversarial import AdversarialModule
from lightning_gans.models.base.model import Batch, Model

__all__ = ["AdversarialModule", "Batch", "Model"]
